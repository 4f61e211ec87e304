//! The stand-in desktop application: it starts the stand-in language server as its child, as
//! Antigravity does, and makes TLS connections of its own to the same host, as Electron's network
//! stack does, which trusts roots of its own and no variable of its environment.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use rustix::process::{Pid, Signal as SignalNumber, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::{CallRequest, Caller};
use super::dial::Dialer;
use super::{AgentError, AgentOptions, Outcome};
use crate::demo::server::Tasks;

/// What the application does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppOptions {
    /// What its language server does, which trusts what its environment says.
    pub language_server: AgentOptions,
    /// The executable of its language server, a copy of our own under the name that it has with the
    /// real application; our own where there is none.
    pub executable: Option<PathBuf>,
    /// The PEM file with the only roots that the application's own connections trust.
    pub roots: PathBuf,
    /// Requests of the application itself, each on a connection of its own.
    pub own_requests: u32,
}

/// What the application and its language server have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppOutcome {
    /// The language server's own report.
    pub language_server: Outcome,
    /// Requests of the application itself that were answered whole.
    pub own_answers: u32,
    /// Why the others were not.
    pub own_failures: Vec<String>,
}

/// Runs until the language server has ended, which SIGTERM asks it to. `program` and `arguments`
/// become the stand-in language server with the given options, which are JSON, and a token that its
/// clients must present.
///
/// # Errors
/// When the language server cannot be started, ends without a report, or the roots are unusable.
pub async fn run_app(
    options: AppOptions,
    program: &Path,
    arguments: impl FnOnce(String, String) -> Vec<String>,
) -> Result<AppOutcome, AgentError> {
    let token = uuid::Uuid::new_v4().to_string();
    let json = serde_json::to_string(&options.language_server).map_err(io::Error::from)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = Command::new(options.executable.as_deref().unwrap_or(program))
        .arg0(LANGUAGE_SERVER)
        .args(arguments(json, token))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // It does nothing before the end of its metadata, of which the stand-in needs none.
    drop(child.stdin.take());
    let pass_on = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut ended = std::pin::pin!(async { tokio::join!(report(&mut child), own(&options)) });
    let (language_server, own) = loop {
        tokio::select! {
            both = &mut ended => break both,
            _ = terminate.recv() => {
                // Fails only when it has ended.
                let _ = pass_on.map(|pid| kill_process(pid, SignalNumber::TERM));
            }
        }
    };
    let (own_answers, own_failures) = own?;
    Ok(AppOutcome {
        language_server: language_server?,
        own_answers,
        own_failures,
    })
}

/// Reads what the language server writes at its end, and waits for it.
async fn report(child: &mut Child) -> io::Result<Outcome> {
    let mut text = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut text).await?;
    }
    child.wait().await?;
    Ok(serde_json::from_str(&text)?)
}

/// The application's own requests: how many were answered, and why the others were not.
async fn own(options: &AppOptions) -> Result<(u32, Vec<String>), AgentError> {
    let shutdown = CancellationToken::new();
    let _hung_up = shutdown.clone().drop_guard();
    let tasks = Tasks {
        tracker: TaskTracker::new(),
        shutdown,
    };
    let own = AgentOptions {
        bundle: options.roots.clone(),
        ..options.language_server.clone()
    };
    let dialer = Arc::new(Dialer::new(&own, OWN_ALPN, &tasks)?);
    let (mut answers, mut failures) = (0, Vec::new());
    for _ in 0..options.own_requests {
        let request = CallRequest {
            path: OWN_PATH,
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            chunked: false,
            leave_after: None,
        };
        let mut caller = Caller::new(Arc::clone(&dialer));
        match caller.send(request, &mut |_, _| ()).await {
            Ok(_) => answers += 1,
            Err(error) => failures.push(error.to_string()),
        }
    }
    Ok((answers, failures))
}

/// The name by which the application starts it.
const LANGUAGE_SERVER: &str = "language_server_linux_x64";

/// Another offer than any of the language server: a browser's TLS library differs from Go's in more
/// than that.
const OWN_ALPN: &[&str] = &["http/1.1"];

/// What the stand-in provider answers is not looked at: an answer shows that the connection is
/// whole.
const OWN_PATH: &str = "/demo/of-the-application";
