//! Tasks and their end: every task of Gravimeter is spawned here, and draining follows one order.
//!
//! Draining: `stopping` is cancelled first (nothing new is accepted, connections close between
//! exchanges), `forced` when the deadline has passed or a second signal came (what is still open is
//! cut off).

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one part of Gravimeter, with the tokens that end them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    forced: CancellationToken,
}

impl Tasks {
    /// Where rooms spawn.
    #[must_use]
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Cancelled when the part shall end in peace.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled when the part shall end now.
    #[must_use]
    pub fn forced(&self) -> &CancellationToken {
        &self.forced
    }

    /// Spawns a task that ends with the part.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// Ends the part: in peace until `deadline` has passed or `hurry` is done, then by force.
    /// Returns whether every task ended in peace.
    pub async fn drain(&self, deadline: Duration, hurry: impl Future<Output = ()>) -> bool {
        self.tracker.close();
        self.stopping.cancel();
        let in_peace = tokio::select! {
            () = self.tracker.wait() => true,
            () = tokio::time::sleep(deadline) => false,
            () = hurry => false,
        };
        self.forced.cancel();
        self.tracker.wait().await;
        in_peace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn peaceful_tasks_are_waited_for() {
        let tasks = Tasks::default();
        let stopping = tasks.stopping().clone();
        tasks.spawn(async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        assert!(
            tasks
                .drain(Duration::from_secs(60), std::future::pending())
                .await
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_and_a_second_signal_use_force() {
        for hurried in [false, true] {
            let tasks = Tasks::default();
            let forced = tasks.forced().clone();
            tasks.spawn(async move { forced.cancelled().await });
            let hurry = async move {
                if !hurried {
                    std::future::pending::<()>().await;
                }
            };
            assert!(!tasks.drain(Duration::from_secs(60), hurry).await);
        }
    }
}
