//! The times at which the parts of an answer that have content came.

use std::time::{Duration, Instant};

/// The times of the first and of the last part so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents {
    pub(super) first: Instant,
    pub(super) last: Instant,
    /// There was more than one.
    pub(super) several: bool,
}

impl Contents {
    /// Adds parts that were completed at one time. Returns how many of them follow another one, if
    /// any do, and the time since the last one before.
    pub(super) fn add(
        so_far: &mut Option<Self>,
        count: usize,
        at: Instant,
    ) -> Option<(usize, Duration)> {
        let before = *so_far;
        let following = count.checked_sub(usize::from(before.is_none()))?;
        let first = Self {
            first: at,
            last: at,
            several: false,
        };
        let before = before.unwrap_or(first);
        if count > 0 {
            *so_far = Some(Self {
                last: at,
                several: before.several || following > 0,
                ..before
            });
        }
        (following > 0).then(|| (following, at.saturating_duration_since(before.last)))
    }
}
