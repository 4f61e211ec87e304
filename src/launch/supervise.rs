//! The life of the agent: orphan, start, announcement, end, pause, start again; and its end at our
//! own.
//!
//! What enters: a [`Choice`], a [`Config`] and a shutdown. What leaves: facts, and the [`AgentState`] for whoever
//! wants to speak to the agent. It ends with the agent stopped, or with an error that another
//! attempt would not mend.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::ChildStderr;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::announce::Announcement;
use super::backoff::Backoff;
use super::lines::Lines;
use super::orphan::StateFile;
use super::process::{self, Adopter, Identity, Tree};
use super::program::Program;
use super::spawn::{Agent, Launcher};
use super::wire::{Action, Presence, Request};
use super::{Choice, Config, LaunchError};
use crate::record::{Fact, Record, RestartReason, printable};

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
        state_folder: &Path,
        record: Arc<dyn Record>,
    ) -> Self {
        let state = watch::Sender::new(AgentState::Down);
        Self {
            choice,
            config,
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
        let mut backoff = Backoff::new(&self.config);
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

    /// One life, from the start to the last of its processes.
    async fn live(
        &self,
        launcher: &Launcher,
        adopter: Option<Adopter>,
        shutdown: &CancellationToken,
    ) -> Result<End, LaunchError> {
        let program = Program::new(&self.choice, &self.config, &launcher.account)?;
        let waiting = launcher.spawn().await?;
        let identity = waiting.identity;
        let tree = Tree {
            leader: identity,
            uid: launcher.account.uid,
            adopter,
        };
        self.file.remember(identity, &launcher.account.name)?;
        let Agent {
            mut child,
            stderr,
            mut stdout,
        } = match waiting.go(&program.spec, &program.input).await {
            Ok(agent) => agent,
            Err(error) => {
                // It may still be about to execute the agent.
                self.end(launcher, &tree).await;
                return Err(error);
            }
        };
        tracing::info!(
            pid = identity.pid,
            user = launcher.account.name,
            "the agent is started"
        );
        self.record.record(Fact::AgentUp(true));

        let mut ear = Ear {
            supervisor: self,
            stderr,
            program: &program,
            pid: identity.pid,
        };
        let (own, over) = (child.id(), CancellationToken::new());
        let life = async {
            let _over = over.clone().drop_guard();
            let end = tokio::select! {
                status = child.wait() => End::Itself(reason(status.ok())),
                () = shutdown.cancelled() => End::Shutdown,
            };
            // Also after an end: sudo may have been killed alone, and the agent may have left
            // children.
            self.end(launcher, &tree).await;
            if timeout(REAP_LIMIT, child.wait()).await.is_err() {
                tracing::warn!(
                    pid = child.id(),
                    "the process that started the agent outlives it"
                );
            }
            end
        };
        // The outputs are read for as long as a process is left: a full pipe would stop an agent in
        // its last words.
        let hearing = async {
            let last_words = async {
                over.cancelled().await;
                sleep(LAST_WORDS_LIMIT).await;
            };
            tokio::select! {
                _ = async { tokio::join!(ear.listen(), self.drain(&mut stdout)) } => {}
                () = last_words => {}
            }
        };
        let (end, (), ()) = tokio::join!(life, hearing, reap(tree, own, &over));
        self.record.record(Fact::AgentUp(false));
        Ok(end)
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
        match request(Action::Term, self.config.stop_timeout).await? {
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

    async fn drain<R: tokio::io::AsyncRead + Unpin>(&self, lines: &mut Lines<R>) {
        while let Some(line) = lines.next().await {
            self.tell(&line);
        }
    }

    /// Output may hold prompts and tokens: it is dropped unless the configuration asks for it.
    fn tell(&self, line: &str) {
        if self.config.log_output {
            tracing::info!(target: "agent", line = printable(line));
        }
    }
}

/// How a life ended.
enum End {
    Itself(RestartReason),
    Shutdown,
}

/// Listens to the agent's standard error.
struct Ear<'a> {
    supervisor: &'a Supervisor,
    stderr: Lines<ChildStderr>,
    program: &'a Program,
    pid: u32,
}

impl Ear<'_> {
    /// Follows the announcement until it is complete or late, then reads on to the end.
    async fn listen(&mut self) {
        let mut announcement = self.program.announcement.clone();
        if let Some(announcement) = &mut announcement {
            let limit = self.supervisor.config.announce_timeout;
            match timeout(limit, self.hear(announcement)).await {
                Ok(Heard::End) => return,
                Ok(Heard::Ports) => {}
                Err(_) => tracing::warn!(
                    https_port = announcement.https_port,
                    http_port = announcement.http_port,
                    "the agent did not announce both of its ports in time"
                ),
            }
        }
        let mut known = announcement.unwrap_or_default();
        self.supervisor
            .state
            .send_replace(AgentState::Up(known.clone()));
        // What comes late counts as well, and so does what nobody expected of an agent without a
        // preset.
        while let Some(line) = self.stderr.next().await {
            known.hear(&line);
            self.supervisor
                .state
                .send_if_modified(|state| state.announce(&known));
            self.supervisor.tell(&line);
        }
    }

    async fn hear(&mut self, announcement: &mut Announcement) -> Heard {
        let mut looks = interval(DISCOVERY_INTERVAL);
        while !announcement.is_complete() {
            // An unfinished line stays in `Lines`, a tick in the interval.
            tokio::select! {
                line = self.stderr.next() => {
                    let Some(line) = line else { return Heard::End };
                    announcement.hear(&line);
                    self.supervisor.tell(&line);
                }
                _ = looks.tick() => self.discover(announcement).await,
            }
        }
        Heard::Ports
    }

    async fn discover(&self, announcement: &mut Announcement) {
        let (folder, pid, mut seen) = (
            self.program.discovery_folder.clone(),
            self.pid,
            announcement.clone(),
        );
        let look = tokio::task::spawn_blocking(move || {
            seen.discover(&folder, pid);
            seen
        });
        if let Ok(seen) = look.await {
            *announcement = seen;
        }
    }
}

/// What ended the wait for an announcement.
enum Heard {
    End,
    Ports,
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

/// Reaps what the agent leaves behind until `over`. Where the ends of children are not told, only
/// then.
async fn reap(tree: Tree, own: Option<u32>, over: &CancellationToken) {
    let look = || async {
        let looked = tokio::task::spawn_blocking(move || process::reap(&tree, own)).await;
        if let Ok(Err(error)) = looked {
            tracing::debug!(%error, "ended processes of the agent could not be looked for");
        }
    };
    if let Ok(mut ends) = signal(SignalKind::child()) {
        while over
            .run_until_cancelled(ends.recv())
            .await
            .flatten()
            .is_some()
        {
            look().await;
            // An agent that detaches many short processes costs a few looks a second, not one for
            // each.
            over.run_until_cancelled(sleep(REAP_PAUSE)).await;
        }
    }
    over.cancelled().await;
    look().await;
}

fn reason(status: Option<ExitStatus>) -> RestartReason {
    match status {
        Some(status) if status.success() => RestartReason::Exited,
        Some(status) if status.code().is_none() => RestartReason::Killed,
        _ => RestartReason::Failed,
    }
}

/// What SIGKILL may take: the kernel frees gigabytes.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// sudo ends at once after its command.
const REAP_LIMIT: Duration = Duration::from_secs(2);

/// A dead process holds a pid and nothing else meanwhile.
const REAP_PAUSE: Duration = Duration::from_millis(250);

/// What is left in a pipe of 64 KiB is read in far less.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(200);

/// The discovery file is a second choice and need not be found at once.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FanOut;

    /// What is logged of a line, as JSON.
    fn logged(log_output: bool, line: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let log = std::fs::File::create(&path).expect("a log");
        let subscriber = tracing_subscriber::fmt().json().with_writer(log).finish();
        let choice = Choice::Command("/bin/agent".into());
        let config = Config {
            log_output,
            ..Config::default()
        };
        let supervisor =
            Supervisor::new(choice, config, folder.path(), Arc::new(FanOut(Vec::new())));
        tracing::subscriber::with_default(subscriber, || supervisor.tell(line));
        std::fs::read_to_string(path).expect("the log")
    }

    #[test]
    fn what_an_agent_prints_is_shown_escaped() {
        let log = logged(true, "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}ok");
        let log: serde_json::Value = serde_json::from_str(&log).expect("a line");
        assert_eq!(log["fields"]["line"], r"\u{1b}]0;x\u{7}\u{9b}2J\u{202e}ok");
        assert_eq!(logged(false, "anything"), "");
    }
}
