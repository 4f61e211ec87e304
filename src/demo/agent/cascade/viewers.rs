//! Tracks the clients that view a conversation, so that a run can wait until one will see it from
//! its beginning.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The viewers of one conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct Viewers(watch::Sender<ViewerState>);

#[derive(Debug, Clone, Copy, Default)]
struct ViewerState {
    /// A client has asked for the conversation by its id at some time.
    known: bool,
    /// Streams that stay open across runs.
    staying: u32,
    /// A client has looked since the last run.
    looked: bool,
}

/// Counts as a viewer across runs until it is dropped.
#[derive(Debug)]
pub(super) struct StayingViewer(Viewers);

impl Viewers {
    /// A client asks for the conversation by its id.
    pub(super) fn note_request(&self) {
        self.0
            .send_modify(|state| (state.known, state.looked) = (true, true));
    }

    /// A client asks for the list of all conversations, which is enough once a client knows this
    /// one.
    pub(super) fn note_listing(&self) {
        self.0.send_modify(|state| state.looked |= state.known);
    }

    /// A client opens a stream that stays across runs.
    pub(super) fn join(&self) -> StayingViewer {
        self.0
            .send_modify(|state| (state.known, state.staying) = (true, state.staying + 1));
        StayingViewer(self.clone())
    }

    /// A run is over: a client that looked once has to look again.
    pub(super) fn run_ended(&self) {
        self.0.send_modify(|state| state.looked = false);
    }

    /// Waits for a viewer; `false` when none came within `limit`.
    pub(super) async fn wait(&self, limit: Duration) -> bool {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`.
        timeout(
            limit,
            state.wait_for(|state| state.staying > 0 || state.looked),
        )
        .await
        .is_ok()
    }
}

impl Drop for StayingViewer {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.staying -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_stays_sees_every_run_and_who_looks_sees_one() {
        let viewers = Viewers::default();
        let limit = Duration::from_secs(1);
        viewers.note_listing();
        assert!(
            !viewers.wait(limit).await,
            "the list alone makes nobody wait for this conversation"
        );
        viewers.note_request();
        assert!(viewers.wait(limit).await);
        viewers.run_ended();
        assert!(!viewers.wait(limit).await);
        viewers.note_listing();
        assert!(viewers.wait(limit).await);
        viewers.run_ended();
        let place = viewers.join();
        viewers.run_ended();
        assert!(viewers.wait(limit).await);
        drop(place);
        assert!(!viewers.wait(limit).await);
    }
}
