//! Token buckets over all requests.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::settings::Rate;

/// The rate limit of a web configuration file, once for authenticated requests and once for all
/// others: guesses of passwords use up nothing of the first.
#[derive(Debug)]
pub(super) struct RateLimits {
    /// For authenticated requests.
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

    /// Takes a token; `false` if there is none.
    pub(super) fn take_token(&self, now: Instant) -> bool {
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
        let at = |millis| bucket.take_token(start + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(0)], [true, true, true, false]);
        assert_eq!([at(999), at(1000), at(1000)], [false, true, false]);
        assert_eq!(
            [at(60_000), at(60_000), at(60_000), at(60_000)],
            [true, true, true, false],
            "no more than a burst"
        );
    }
}
