//! Word to the service manager (systemd's `sd_notify`): Gravimeter is ready, lives, or stops.
//!
//! Without `NOTIFY_SOCKET` nothing is said. What cannot be delivered is logged, and nothing else
//! depends on it.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Everything that was asked for is started.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that Gravimeter lives, twice as often as is asked for (`WatchdogSec=`), for as long as its
/// tasks are still run.
pub(super) async fn watchdog(stopping: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = interval((limit / 2).max(SHORTEST_BEAT));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(beat.tick()).await.is_some() {
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(&state)) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// A limit of zero is none that could be kept.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);
