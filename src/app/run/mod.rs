//! `gravimeter run`: the traffic side as `serve` has it, around one program in the foreground.
//!
//! The order: the way to capture (a namespace, a cgroup, or the CONNECT proxy), the traffic side, here
//! or in a service that runs already, the program; at its end the traffic, the ledger, and the report.

mod folder;
mod observation;
mod scope;
mod session;
mod user;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::handover::{Ended, Summary};
use super::{Error, Tasks, agent, process};
use crate::config::Config;
use crate::export::diagnostics::Diagnostics;
use crate::launch::find::has_language_server;
use crate::launch::foreground::{Ending, Environment, Executable, Foreground};
use crate::relay::outbound;
use crate::tls::{self, bundle::environment_beside};

pub(crate) use folder::RunFolder;
pub(crate) use scope::Scope;
pub(crate) use user::try_other_user;

use observation::{Observation, Plan};
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
    /// Whether this process observes the program by itself, even where a service runs.
    pub(crate) by_itself: bool,
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
) -> Result<(Ending, Summary), Error> {
    let open_files = process::harden_beside_program()?;
    // Meanwhile the namespace is made.
    tls::prepare();
    let own = std::env::current_exe().map_err(Error::OwnProgram)?;
    let mut way = Way::open(&request, &own, &config).await?;
    let user = way.user(&config).map(str::to_owned);
    let plan = Plan {
        session: session::begin(&request.executable)?,
        socket: (!request.by_itself).then(|| config.sessions_socket()),
        listeners: way.take_listeners()?,
        followed: way.followed(&request, &own, &config),
        starts_language_server: has_language_server(&request.executable.title()),
        config: way.adapt(config),
    };
    let forwarding = Tasks::default();
    if let Some(forwarded) = way.take_forwarded() {
        outbound::serve(forwarded, forwarding.tracker(), forwarding.stopping())
            .map_err(Error::Handed)?;
    }
    let mut observation = Observation::begin(plan, diagnostics).await?;
    let started = Instant::now();
    let ran = async {
        let mut foreground = Foreground::prepare()?;
        if let Some(user) = &user {
            agent::refuse_closed(&observation.bundle().all, user)?;
        }
        let environment = environment(&observation, &request, &way)?;
        let program = way.start(&own, &request, &environment, open_files).await?;
        info!(
            program = request.executable.title(),
            scope = way.name(),
            "started"
        );
        observation.started(program.child().id(), &way).await;
        let ending = {
            let child = program.child();
            let pass_on = async |signal| program.signal(signal).await;
            let mut ending = pin!(foreground.wait(child, pass_on));
            tokio::select! {
                ending = &mut ending => ending?,
                () = observation.keep() => ending.await?,
            }
        };
        Ok((foreground, ending))
    };
    let ran: Result<_, Error> = ran.await;
    let duration = started.elapsed();
    let (foreground, ending) = match ran {
        Ok((foreground, ending)) => (Some(foreground), Ok(ending)),
        Err(error) => (None, Err(error)),
    };
    // A program that was not started leaves nothing to wait for.
    let hurried = async {
        if let Some(mut foreground) = foreground {
            foreground.hurried().await;
        }
    };
    let ended = Ended {
        duration_seconds: duration.as_secs_f64(),
        exit_code: ending.as_ref().map_or(u8::MAX, |ending| ending.exit_code()),
        scope: way.name().into(),
        scope_reason: way.reason(),
        scope_failure: None,
        already_running: request.already_running,
        log: request.log,
        home: variable(&request.environment, "HOME").map(PathBuf::from),
    };
    let summary = observation.end(ended, hurried, || way.failure()).await;
    // The namespace's own connections end with the program.
    forwarding
        .drain(Duration::ZERO, std::future::pending())
        .await;
    Ok((ending?, summary))
}

/// Our own environment, and what makes the program trust our CA and find our proxy.
fn environment(
    observation: &Observation,
    request: &RunRequest,
    way: &Way,
) -> Result<Environment, Error> {
    let named = |name: &str| variable(&request.environment, name).map(PathBuf::from);
    let trust = environment_beside(observation.bundle(), named)?;
    for (name, error) in &trust.unreadable {
        warn!(name, %error, "the file that this variable names cannot be read: the CA is not added to it");
    }
    let environment = Environment::new(&request.environment, trust.variables);
    let environment = match way.proxy() {
        Some(proxy) => environment.with_proxy(proxy),
        None => environment,
    };
    Ok(match observation.base_url() {
        Some(door) => environment.with_base_urls(door),
        None => environment,
    })
}

fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = environment.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_os_str())
}
