//! How long at least one call was under way: overlapping calls count once.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Spans of time that do not overlap, by their begin.
#[derive(Debug, Default)]
pub(super) struct WorkingTime {
    spans: BTreeMap<SystemTime, SystemTime>,
    /// Of spans that were dropped to make room.
    dropped: Duration,
}

impl WorkingTime {
    /// Adds a span, in any order of time.
    pub(super) fn add(&mut self, begin: SystemTime, duration: Duration) {
        let Some(mut end) = begin.checked_add(duration) else {
            return;
        };
        let mut begin = begin;
        // From the last one: those that overlap with the new one are its direct neighbours.
        while let Some((&earlier, &until)) = self.spans.range(..=end).next_back() {
            if until < begin {
                break;
            }
            self.spans.remove(&earlier);
            begin = begin.min(earlier);
            end = end.max(until);
        }
        self.spans.insert(begin, end);
        if self.spans.len() > MAX_SPANS
            && let Some((begin, end)) = self.spans.pop_first()
        {
            self.dropped += end.duration_since(begin).unwrap_or_default();
        }
    }

    /// All of them together.
    pub(super) fn total(&self) -> Duration {
        let lengths = self.spans.iter();
        let lengths = lengths.map(|(begin, end)| end.duration_since(*begin).unwrap_or_default());
        self.dropped + lengths.sum::<Duration>()
    }
}

/// A person who works for a day makes some thousand. Beyond it the oldest span is only added up:
/// no call that ends now began that long ago.
const MAX_SPANS: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn total(spans: &[(u64, u64)]) -> u64 {
        let mut time = WorkingTime::default();
        for (begin, length) in spans {
            time.add(
                UNIX_EPOCH + Duration::from_secs(*begin),
                Duration::from_secs(*length),
            );
        }
        time.total().as_secs()
    }

    #[test]
    fn calls_at_the_same_time_count_once() {
        assert_eq!(total(&[]), 0);
        assert_eq!(total(&[(0, 5), (10, 5)]), 10);
        assert_eq!(total(&[(0, 5), (3, 5)]), 8);
        assert_eq!(total(&[(0, 100), (3, 5)]), 100);
        assert_eq!(total(&[(3, 5), (20, 1), (0, 100)]), 100);
        assert_eq!(total(&[(0, 5), (5, 5)]), 10);
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]
        #[test]
        fn it_is_the_number_of_seconds_in_which_any_call_was_under_way(
            spans in proptest::collection::vec((0..200u64, 0..20u64), 0..40)
        ) {
            let busy = (0..300u64).filter(|second| {
                spans.iter().any(|(begin, length)| (*begin..begin + length).contains(second))
            });
            prop_assert_eq!(total(&spans), busy.count() as u64);
        }
    }
}
