//! How long the writer waits between tries to write a batch that the file does not take.

use std::time::Duration;

/// The pauses of one batch.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    /// Tries that are left once the process ends.
    left_at_end: u32,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            next: FIRST,
            left_at_end: TRIES_AT_END,
        }
    }
}

impl Pauses {
    /// The pause before the next try. They double: a lock is gone soon, a full disk may take hours.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }

    /// The pause before the next try while the process waits for the end; `None` when the batch is
    /// to be given up.
    pub(super) fn next_at_end(&mut self) -> Option<Duration> {
        self.left_at_end = self.left_at_end.checked_sub(1)?;
        Some(AT_END)
    }
}

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Tries after the end was asked for, and the pause between them: a second in all, which is what an
/// end may take.
const TRIES_AT_END: u32 = 10;
const AT_END: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::default();
        let milliseconds = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        assert_eq!(
            milliseconds.map(|_| pauses.next().as_millis()),
            milliseconds
        );
    }

    #[test]
    fn at_the_end_there_are_ten_tries_more_within_a_second() {
        let mut pauses = Pauses::default();
        pauses.next();
        let at_end: Vec<_> = std::iter::from_fn(|| pauses.next_at_end()).collect();
        assert_eq!(at_end, [Duration::from_millis(100); 10]);
        assert_eq!(pauses.next_at_end(), None, "also when it is asked again");
    }
}
