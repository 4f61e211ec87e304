//! One life of the agent: from its start to the last of its processes.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::LaunchError;
use super::super::process::{self, Adopter, Tree};
use super::super::program::Program;
use super::super::start::{Agent, Launcher};
use super::Supervisor;
use super::output::StderrReader;
use crate::record::{Fact, RestartReason};

/// How a life ended.
pub(super) enum End {
    Itself(RestartReason),
    Shutdown,
}

impl Supervisor {
    /// One life, from the start to the last of its processes.
    pub(super) async fn live(
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

        let (mut stderr, started) = (
            StderrReader::new(self, stderr, &program, identity.pid),
            Instant::now(),
        );
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
                _ = async { tokio::join!(stderr.read(), self.drain(&mut stdout)) } => {}
                () = last_words => {}
            }
        };
        let (end, (), ()) = tokio::join!(life, hearing, reap(tree, own, &over));
        self.record.record(Fact::AgentUp(false));
        if matches!(end, End::Itself(_)) && started.elapsed() < EARLY_END {
            stderr.log_last_lines();
        }
        Ok(end)
    }
}

/// Reaps what the agent leaves behind until `over`. Where the kernel does not report the ends of children, only
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

/// An agent that ends so soon has not been set up as it wants, and has not had much to work on.
const EARLY_END: Duration = Duration::from_secs(10);

/// sudo ends at once after its command.
const REAP_LIMIT: Duration = Duration::from_secs(2);

/// A dead process holds a pid and nothing else meanwhile.
const REAP_PAUSE: Duration = Duration::from_millis(250);

/// What is left in a pipe of 64 KiB is read in far less.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(200);
