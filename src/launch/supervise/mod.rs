//! Keeps an agent running: stops what an earlier run left, starts the agent, starts it again when it
//! ends, and ends it with the program.
//!
//! What enters: a [`Choice`], a [`Config`], a [`Supervision`] and a shutdown. What leaves: facts, and
//! the [`AgentState`] for callers that speak to the agent. It ends with the agent stopped, or with
//! an error that another attempt would not mend.

mod backoff;
mod life;
mod orphan;
mod output;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::announce::Announcement;
use super::process::{Adopter, Identity, Tree};
use super::start::Launcher;
use super::start::wire::{Action, Presence, Request};
use super::{Choice, Config, LaunchError};
use crate::record::{Fact, Record, RestartReason};
use backoff::Backoff;
use life::End;
use orphan::StateFile;

/// How an agent is kept running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// Whether the agent's output becomes log lines (target `agent`). It may hold prompts and
    /// tokens.
    pub log_output: bool,
    /// Whether the last lines of its standard error are logged when it fails soon after its start,
    /// which explain why. They may hold what it was started with: for a person at the terminal.
    pub shows_last_lines: bool,
    /// The pause before the first restart; it doubles with each that follows.
    pub restart_backoff_initial: Duration,
    /// The longest pause.
    pub restart_backoff_max: Duration,
    /// How many restarts in a row may fail to keep it up before the supervisor gives up.
    pub restart_limit: u32,
    /// How long it must stay up for the count of restarts to begin anew.
    pub steady_after: Duration,
    /// How long it may take to end after SIGTERM before it gets SIGKILL.
    pub stop_timeout: Duration,
    /// How long a preset's agent may take to announce its ports.
    pub announce_timeout: Duration,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            log_output: false,
            shows_last_lines: false,
            restart_backoff_initial: Duration::from_secs(1),
            restart_backoff_max: Duration::from_secs(60),
            restart_limit: 10,
            steady_after: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(10),
            announce_timeout: Duration::from_secs(30),
        }
    }
}

/// Where the agent is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentState {
    /// It does not run; it will be started again.
    Down,
    /// It is being started, or has not announced its ports yet.
    Starting,
    /// It does not run and will not be started again.
    Stopped,
    /// It runs, and listens where it says; empty for an agent that announces nothing.
    Up(Announcement),
}

impl AgentState {
    /// Takes a fuller announcement of an agent that runs. Returns whether it says anything new.
    fn announce(&mut self, known: &Announcement) -> bool {
        let is_new = matches!(self, Self::Up(before) if before != known);
        if is_new {
            *self = Self::Up(known.clone());
        }
        is_new
    }
}

/// Keeps one agent running.
pub struct Supervisor {
    choice: Choice,
    config: Config,
    supervision: Supervision,
    file: StateFile,
    record: Arc<dyn Record>,
    state: watch::Sender<AgentState>,
}

impl Supervisor {
    /// A supervisor that keeps its record of the running agent in `state_folder`; starts nothing.
    #[must_use]
    pub fn new(
        choice: Choice,
        config: Config,
        supervision: Supervision,
        state_folder: &Path,
        record: Arc<dyn Record>,
    ) -> Self {
        let state = watch::Sender::new(AgentState::Down);
        Self {
            choice,
            config,
            supervision,
            file: StateFile::new(state_folder),
            record,
            state,
        }
    }

    /// Follows the agent's state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<AgentState> {
        self.state.subscribe()
    }

    /// Runs the agent until `shutdown`, then stops it. The redirect rules must be in place before:
    /// a connection that is older than its rule is never metered.
    ///
    /// # Errors
    /// [`LaunchError`] when the first start fails, when sudo refuses, when an orphan cannot be
    /// stopped, or when the agent does not stay up. The agent does not run then.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), LaunchError> {
        let ended = self.keep_running(&shutdown).await;
        self.state.send_replace(AgentState::Stopped);
        ended
    }

    async fn keep_running(&self, shutdown: &CancellationToken) -> Result<(), LaunchError> {
        let adopter = adopter();
        let launcher = Launcher::new(&self.config).await?;
        self.stop_orphan(&launcher).await?;
        let mut backoff = Backoff::new(&self.supervision);
        let mut has_run = false;
        loop {
            self.state.send_replace(AgentState::Starting);
            let started = Instant::now();
            let reason = match self.live(&launcher, adopter, shutdown).await {
                Ok(End::Shutdown) => return Ok(()),
                Ok(End::Itself(reason)) => reason,
                Err(error) if error.is_final() || !has_run => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the agent could not be started again");
                    RestartReason::SpawnFailed
                }
            };
            has_run = true;
            self.state.send_replace(AgentState::Down);
            let Some(pause) = backoff.next(started.elapsed()) else {
                return Err(LaunchError::GaveUp {
                    restarts: backoff.restarts(),
                    last: reason,
                });
            };
            tracing::warn!(%reason, ?pause, "the agent ended and will be started again");
            if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                return Ok(());
            }
            self.record.record(Fact::AgentRestarted(reason));
        }
    }

    /// Ends every process of an agent; one that cannot be ended stays on record.
    async fn end(&self, launcher: &Launcher, tree: &Tree) {
        let pid = tree.leader.pid;
        match self.stop(launcher, tree.leader, tree.adopter).await {
            Ok(Presence::Gone) => self.file.forget(),
            Ok(Presence::Alive) => tracing::error!(pid, "the agent survived SIGKILL"),
            Err(error) => tracing::error!(pid, %error, "the agent could not be stopped"),
        }
    }

    /// SIGTERM first; SIGKILL for what is left after the configured time.
    async fn stop(
        &self,
        launcher: &Launcher,
        identity: Identity,
        adopter: Option<Adopter>,
    ) -> Result<Presence, LaunchError> {
        let request = |action, wait: Duration| {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            launcher.signal(Request {
                identity,
                adopter,
                action,
                wait_ms,
            })
        };
        match request(Action::Term, self.supervision.stop_timeout).await? {
            Presence::Gone => Ok(Presence::Gone),
            Presence::Alive => request(Action::Kill, KILL_LIMIT).await,
        }
    }

    /// Ends what an earlier run left behind: two agents on one state folder would harm each other.
    async fn stop_orphan(&self, launcher: &Launcher) -> Result<(), LaunchError> {
        let Some(remembered) = self.file.recall() else {
            return Ok(());
        };
        let identity = remembered.identity;
        let stopped = match launcher.for_orphan(&remembered.user).await {
            // Who adopted what it has detached is gone.
            Ok(launcher) => self.stop(&launcher, identity, None).await,
            Err(error) => Err(error),
        };
        let detail = match stopped {
            Ok(Presence::Gone) => None,
            Ok(Presence::Alive) => Some("it survived SIGKILL".to_owned()),
            Err(error) => identity.is_alive().then(|| error.to_string()),
        };
        if let Some(detail) = detail {
            return Err(LaunchError::Orphan {
                pid: identity.pid,
                detail,
            });
        }
        tracing::info!(pid = identity.pid, "no process of the earlier run is left");
        self.file.forget();
        Ok(())
    }
}

/// Without one, what an agent has detached and left is not found any more.
fn adopter() -> Option<Adopter> {
    let become_one = Adopter::become_one();
    become_one
        .inspect_err(
            |error| tracing::warn!(%error, "daemons that the agent detaches will outlive it"),
        )
        .ok()
}

/// What SIGKILL may take: the kernel frees gigabytes.
const KILL_LIMIT: Duration = Duration::from_secs(5);
