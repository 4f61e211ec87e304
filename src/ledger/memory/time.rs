//! Times of the facts, as they are kept.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// A time as it is shown. One that no calendar has says nothing: it becomes the epoch.
pub(in crate::ledger) fn time(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

pub(in crate::ledger) fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(at)
}
