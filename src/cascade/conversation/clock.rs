//! Conversion between Gravimeter's clock and the agent's.

use std::time::{Duration, Instant, SystemTime};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The monotonic clock.
    pub at: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

/// When a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunStart {
    /// On the monotonic clock.
    pub at: Instant,
    /// On the wall clock.
    pub wall: SystemTime,
    /// The agent reported it; otherwise it is when the agent was first seen working.
    pub is_reported: bool,
}

impl RunStart {
    /// A start reported by the agent; `None` when its clock must be wrong.
    pub(super) fn reported(wall: SystemTime, now: Moment) -> Option<Self> {
        let at = instant_of(wall, now)
            .filter(|at| now.at.saturating_duration_since(*at) <= LONGEST_RUN)?;
        Some(Self {
            at,
            wall: wall.min(now.wall),
            is_reported: true,
        })
    }

    /// The same start, moved to `earliest` if it lies before.
    pub(super) fn not_before(self, earliest: Instant) -> Self {
        let later = earliest.saturating_duration_since(self.at);
        Self {
            at: self.at + later,
            wall: self.wall + later,
            ..self
        }
    }

    /// A start that was observed only now, so that it may have been earlier.
    pub(super) fn observed(now: Moment) -> Self {
        Self {
            at: now.at,
            wall: now.wall,
            is_reported: false,
        }
    }
}

/// Converts a time of the agent's clock to a local instant; `None` when it lies in the future, so
/// that its clock must be wrong.
pub(super) fn instant_of(time: SystemTime, now: Moment) -> Option<Instant> {
    match now.wall.duration_since(time) {
        Ok(ago) => now.at.checked_sub(ago),
        Err(ahead) => (ahead.duration() <= CLOCK_TOLERANCE).then_some(now.at),
    }
}

/// Largest difference that still counts as the same clock: agent and Gravimeter share a machine.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// The longest runs known take hours; a start further back comes from a clock that was never set.
const LONGEST_RUN: Duration = Duration::from_secs(24 * 60 * 60);
