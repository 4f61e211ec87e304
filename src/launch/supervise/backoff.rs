//! How long to wait before the next start, and when to give up.

use std::time::Duration;

use super::Supervision;

/// Counts starts that did not last.
#[derive(Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    limit: u32,
    steady_after: Duration,
    restarts: u32,
}

impl Backoff {
    pub(super) fn new(config: &Supervision) -> Self {
        Self {
            initial: config.restart_backoff_initial,
            max: config.restart_backoff_max,
            limit: config.restart_limit,
            steady_after: config.steady_after,
            restarts: 0,
        }
    }

    /// The pause after a life of the given length; `None` when it is time to give up.
    pub(super) fn next(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= self.steady_after {
            self.restarts = 0;
        }
        if self.restarts >= self.limit {
            return None;
        }
        let factor = 2u32.saturating_pow(self.restarts);
        self.restarts += 1;
        Some(self.initial.saturating_mul(factor).min(self.max))
    }

    /// Restarts in a row so far.
    pub(super) fn restarts(&self) -> u32 {
        self.restarts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_end() {
        let config = Supervision {
            restart_limit: 8,
            ..Supervision::default()
        };
        let mut backoff = Backoff::new(&config);
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.next(Duration::ZERO))
            .map(|pause| pause.as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.restarts(), 8);
    }

    #[test]
    fn a_steady_life_begins_the_count_anew() {
        let config = Supervision {
            restart_limit: 1,
            ..Supervision::default()
        };
        let mut backoff = Backoff::new(&config);
        assert!(backoff.next(Duration::ZERO).is_some());
        assert_eq!(
            backoff.next(config.steady_after),
            Some(config.restart_backoff_initial)
        );
        assert_eq!(
            backoff.next(config.steady_after - Duration::from_millis(1)),
            None
        );
    }

    #[test]
    fn a_huge_limit_does_not_overflow() {
        let config = Supervision {
            restart_limit: u32::MAX,
            ..Supervision::default()
        };
        let mut backoff = Backoff {
            restarts: 5000,
            ..Backoff::new(&config)
        };
        assert_eq!(
            backoff.next(Duration::ZERO),
            Some(config.restart_backoff_max)
        );
    }
}
