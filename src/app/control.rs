//! Commands to a running Gravimeter that change what it does, over a Unix socket in the state folder:
//! a line of JSON asks, and a line of JSON answers. Only our own user and root may ask.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::net::sockopt::socket_peercred;
use serde::{Deserialize, Serialize};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Tasks;
use super::handover::{receive, send};
use crate::budget::Budgets;
use crate::web::Listener;

/// What can be asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    /// Calls that a budget stops shall pass for a while.
    LiftBudget { budget: String, seconds: u64 },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Calls pass until then.
    Lifted { until: Timestamp },
    /// Nothing was done.
    Refused { why: String },
}

/// Why a budget was not lifted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiftError {
    /// Nobody takes commands.
    #[error("no gravimeter with budgets listens at {path}: does it have another state.dir?", path = .path.display())]
    Absent {
        /// The socket.
        path: std::path::PathBuf,
    },
    /// It was not done.
    #[error("{0}")]
    Refused(String),
    /// No answer came, or none that can be read.
    #[error("the running gravimeter does not answer: {0}")]
    Silent(#[source] io::Error),
}

/// Asks the Gravimeter with that socket to let pass what a budget stops; returns until when it does.
///
/// # Errors
/// [`LiftError`].
pub(crate) async fn lift(
    socket: &Path,
    budget: &str,
    time: Duration,
) -> Result<Timestamp, LiftError> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = Request::LiftBudget {
            budget: budget.to_owned(),
            seconds: time.as_secs(),
        };
        send(&mut stream, &request).await?;
        let answer = receive(&mut BufReader::new(stream), &mut Vec::new()).await;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let answer: io::Result<Answer> = timeout(LIMIT, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match answer {
        Ok(Answer::Lifted { until }) => Ok(until),
        Ok(Answer::Refused { why }) => Err(LiftError::Refused(why)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Err(LiftError::Absent {
                path: socket.to_owned(),
            })
        }
        Err(error) => Err(LiftError::Silent(error)),
    }
}

/// Takes commands at `socket`, by tasks of `tasks`. Where it cannot be listened at, as another
/// Gravimeter with the same state folder does, only the commands are missing.
pub(super) fn take_commands(socket: &Path, budgets: Arc<Budgets>, tasks: &Tasks) {
    let listener = match Listener::bind_unix(socket, OWNER_ONLY) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "budgets cannot be lifted while this runs");
            return;
        }
    };
    tasks.spawn(run(listener, budgets, tasks.clone()));
}

async fn run(listener: Listener, budgets: Arc<Budgets>, tasks: Tasks) {
    let Listener::Unix(listener, _file) = listener else {
        return;
    };
    loop {
        // Cancelled at the end only.
        match tasks
            .stopping()
            .run_until_cancelled(listener.accept())
            .await
        {
            None => return,
            Some(Ok((stream, _))) => {
                let budgets = Arc::clone(&budgets);
                tasks.spawn(async move {
                    // Who does not ask in time, or is gone before the answer, wants nothing.
                    let _ = timeout(LIMIT, serve(stream, &budgets)).await;
                });
            }
            Some(Err(error)) => {
                warn!(%error, "cannot accept a command, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(mut stream: UnixStream, budgets: &Budgets) -> io::Result<()> {
    let uid = socket_peercred(&stream)?.uid.as_raw();
    let answer = if [rustix::process::geteuid().as_raw(), 0].contains(&uid) {
        match receive(&mut BufReader::new(&mut stream), &mut Vec::new()).await {
            Some(request) => answer(request, budgets),
            None => refused("it is of another version: restart it"),
        }
    } else {
        refused("it takes commands of its own user only")
    };
    send(&mut stream, &answer).await
}

fn answer(request: Request, budgets: &Budgets) -> Answer {
    let Request::LiftBudget { budget, seconds } = request;
    let now = Timestamp::now();
    let Ok(until) = now.checked_add(Duration::from_secs(seconds)) else {
        return refused("there is no such time");
    };
    match budgets.lift(&budget, until, now) {
        Ok(()) => {
            info!(budget, %until, "a budget was lifted");
            Answer::Lifted { until }
        }
        Err(unknown) => {
            let names = budgets.statuses(now);
            let names: Vec<_> = names.iter().map(|status| status.name.as_str()).collect();
            refused(&format!("{unknown}: there are {}", names.join(", ")))
        }
    }
}

fn refused(why: &str) -> Answer {
    Answer::Refused {
        why: why.to_owned(),
    }
}

/// Of the socket's file.
const OWNER_ONLY: u32 = 0o600;

/// A command is asked and answered at once.
const LIMIT: Duration = Duration::from_secs(5);

/// Without file descriptors, commands wait.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
