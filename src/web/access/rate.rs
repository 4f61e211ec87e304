//! Token buckets over all requests: a moment enters, whether a request may be answered leaves.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::settings::Rate;

/// The limit that a web configuration file sets, twice: whoever guesses passwords uses up nothing
/// of those who know theirs.
#[derive(Debug)]
pub(super) struct RateLimits {
    /// For requests that show what is asked for.
    pub(super) known: Bucket,
    /// For all others.
    pub(super) strangers: Bucket,
}

impl RateLimits {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            known: Bucket::new(rate),
            strangers: Bucket::new(rate),
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.known.rate
    }
}

/// Answers `burst` requests at once and one more in each `interval`.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When the bucket is full again; guards nothing else.
    full_at: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: Mutex::new(None),
        }
    }

    /// Takes a token where there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.map_or(std::time::Duration::ZERO, |at| {
            at.saturating_duration_since(now)
        });
        let after = missing + self.rate.interval;
        let is_there = after <= self.rate.interval.saturating_mul(self.rate.burst);
        if is_there {
            *full_at = now.checked_add(after);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_one_in_each_interval() {
        let bucket = Bucket::new(Rate {
            interval: Duration::from_secs(1),
            burst: 3,
        });
        let start = Instant::now();
        let at = |millis| bucket.take(start + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(0)], [true, true, true, false]);
        assert_eq!([at(999), at(1000), at(1000)], [false, true, false]);
        assert_eq!(
            [at(60_000), at(60_000), at(60_000), at(60_000)],
            [true, true, true, false],
            "no more than a burst"
        );
    }
}
