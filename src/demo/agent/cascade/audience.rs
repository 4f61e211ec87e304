//! Who looks at a conversation: so that a run can wait until somebody will see it from its
//! beginning.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Those who look at one conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct Audience(watch::Sender<Seats>);

#[derive(Debug, Clone, Copy, Default)]
struct Seats {
    /// Somebody has asked for the conversation by its id at some time.
    known: bool,
    /// Streams that stay open across runs.
    staying: u32,
    /// Somebody has looked since the last run.
    looked: bool,
}

/// A place in the audience until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Audience);

impl Audience {
    /// Somebody asks for the conversation by its id.
    pub(super) fn look(&self) {
        self.0
            .send_modify(|seats| (seats.known, seats.looked) = (true, true));
    }

    /// Somebody looks at the list of all conversations, which is enough for those who know this
    /// one.
    pub(super) fn glance(&self) {
        self.0.send_modify(|seats| seats.looked |= seats.known);
    }

    /// Somebody stays.
    pub(super) fn stay(&self) -> Place {
        self.0
            .send_modify(|seats| (seats.known, seats.staying) = (true, seats.staying + 1));
        Place(self.clone())
    }

    /// A run is over: who looked once has to look again.
    pub(super) fn dismiss(&self) {
        self.0.send_modify(|seats| seats.looked = false);
    }

    /// Waits until somebody looks; `false` when nobody did for so long.
    pub(super) async fn wait(&self, limit: Duration) -> bool {
        let mut seats = self.0.subscribe();
        // The sender lives as long as `self`.
        timeout(
            limit,
            seats.wait_for(|seats| seats.staying > 0 || seats.looked),
        )
        .await
        .is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.send_modify(|seats| seats.staying -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_stays_sees_every_run_and_who_looks_sees_one() {
        let audience = Audience::default();
        let limit = Duration::from_secs(1);
        audience.glance();
        assert!(
            !audience.wait(limit).await,
            "the list alone makes nobody wait for this conversation"
        );
        audience.look();
        assert!(audience.wait(limit).await);
        audience.dismiss();
        assert!(!audience.wait(limit).await);
        audience.glance();
        assert!(audience.wait(limit).await);
        audience.dismiss();
        let place = audience.stay();
        audience.dismiss();
        assert!(audience.wait(limit).await);
        drop(place);
        assert!(!audience.wait(limit).await);
    }
}
