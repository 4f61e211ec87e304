//! `gravimeter run`: the traffic side as `serve` has it, around one program in the foreground.
//!
//! The order: the way to capture (a namespace, a cgroup, or the CONNECT proxy), the traffic side, the program;
//! at its end the traffic, the ledger, and the report.

mod folder;
mod scope;
mod user;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::{App, Error, Surroundings, Tasks, agent, process};
use crate::config::Config;
use crate::export::diagnostics::Diagnostics;
use crate::launch::foreground::{Ending, Environment, Executable, Foreground};
use crate::relay::forward;
use crate::summary::{Circumstances, Collector, Recorded, Report};
use crate::tls::{self, bundle::environment_beside};

pub(crate) use folder::RunFolder;
pub(crate) use scope::Scope;
pub(crate) use user::try_other_user;

use scope::Way;

/// What is run.
pub(crate) struct RunRequest {
    /// The program.
    pub(crate) executable: Executable,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Our own environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// How its connections are captured.
    pub(crate) scope: Scope,
    /// Where the log of the run is.
    pub(crate) log: PathBuf,
    /// A process of the same application that runs already.
    pub(crate) already_running: Option<u32>,
}

/// Runs the program to its end, and returns how it ended and what it did.
///
/// # Errors
/// Whatever keeps the program from being started, or its end from being learned. What else fails
/// while it runs is logged.
pub(crate) async fn run(
    config: Config,
    request: RunRequest,
    diagnostics: Option<Diagnostics>,
) -> Result<(Ending, Report), Error> {
    let open_files = process::harden_beside_program()?;
    // Meanwhile the namespace is made.
    tls::prepare();
    let own = std::env::current_exe().map_err(Error::OwnProgram)?;
    let mut way = Way::open(&request, &own, &config).await?;
    let collector = Arc::new(Collector::default());
    let surroundings = Surroundings {
        handed: way.take_listeners()?,
        diagnostics,
        sinks: vec![Arc::clone(&collector) as _],
        followed: way.followed(&request, &own, &config),
        ..Surroundings::default()
    };
    let forwarding = Tasks::default();
    if let Some(forwarded) = way.take_forwarded() {
        forward::serve(forwarded, forwarding.tracker(), forwarding.stopping())
            .map_err(Error::Handed)?;
    }
    let app = App::start(way.adapt(config.clone()), surroundings).await?;
    let (started_at, started) = (SystemTime::now(), Instant::now());
    let ran = async {
        let mut foreground = Foreground::prepare()?;
        if let Some(user) = way.user(&config) {
            agent::refuse_closed(&app.bundle().all, user)?;
        }
        let environment = environment(&app, &request)?;
        let program = way.start(&own, &request, &environment, open_files).await?;
        info!(
            program = request.executable.title(),
            scope = way.name(),
            "started"
        );
        let ending = foreground
            .wait(program.child(), async |signal| program.signal(signal).await)
            .await?;
        Ok((foreground, ending))
    };
    let ran: Result<_, Error> = ran.await;
    let duration = started.elapsed();
    let ledger = Arc::clone(app.ledger());
    let (foreground, ending) = match ran {
        Ok((foreground, ending)) => (Some(foreground), Ok(ending)),
        Err(error) => (None, Err(error)),
    };
    let hurried = async {
        if let Some(mut foreground) = foreground {
            foreground.hurried().await;
        }
    };
    app.stop(hurried).await;
    // The namespace's own connections end with the program.
    forwarding
        .drain(Duration::ZERO, std::future::pending())
        .await;
    let ending = ending?;
    let report = collector.report(Circumstances {
        program: request.executable.title(),
        started_at,
        duration_seconds: duration.as_secs_f64(),
        exit_code: ending.exit_code(),
        scope: way.name(),
        scope_reason: way.reason(),
        scope_failure: way.failure(),
        already_running: request.already_running,
        ledger: match ledger.unavailable() {
            Some(why) => Recorded::Nowhere(why.to_owned()),
            None if !config.ledger.enabled => Recorded::Nowhere("ledger.enabled is false".into()),
            None => Recorded::File(config.ledger_path()),
        },
        log: request.log,
        home: variable(&request.environment, "HOME").map(PathBuf::from),
    });
    Ok((ending, report))
}

/// Our own environment, and what makes the program trust our CA and find our proxy.
fn environment(app: &App, request: &RunRequest) -> Result<Environment, Error> {
    let named = |name: &str| variable(&request.environment, name).map(PathBuf::from);
    let trust = environment_beside(app.bundle(), named)?;
    for (name, error) in &trust.unreadable {
        warn!(name, %error, "the file that this variable names cannot be read: the CA is not added to it");
    }
    let environment = Environment::new(&request.environment, trust.variables);
    Ok(match app.addresses().connect {
        Some(proxy) => environment.with_proxy(proxy),
        None => environment,
    })
}

fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = environment.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_os_str())
}
