//! The time budget for observing one connection: it grows with the bytes that pass.
//!
//! Whatever an observer does with its bytes, it can cost no more than this. Observers themselves
//! see no clock: the relay measures each call. The wall clock is cheap to read but also counts what
//! other threads do meanwhile, so that it can only clear an observer: one that has used up the
//! budget by it is measured again by the thread's processor time.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The budget of one connection.
#[derive(Debug)]
pub(super) struct Allowance {
    left: Duration,
    clock: Clock,
}

/// The clock by which time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// An upper bound: reading it takes some 25 ns.
    Wall,
    /// The processor time of this thread: reading it is a system call.
    Thread,
}

/// The time that a piece of work took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// By the wall clock.
    pub(super) wall: Duration,
    /// Whether the budget is used up, by processor time.
    pub(super) is_too_much: bool,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: BURST,
            clock: Clock::Wall,
        }
    }
}

impl Allowance {
    /// Adds to the budget: a chunk of `bytes` bytes has passed.
    pub(super) fn earn(&mut self, bytes: usize) {
        let earned = PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)) + PER_CHUNK;
        self.left = (self.left + earned).min(BURST);
    }

    /// Does the work, and subtracts its time from the budget.
    pub(super) fn spend<T>(&mut self, work: impl FnOnce() -> T) -> (T, Spent) {
        let before = (self.clock == Clock::Thread).then(thread_time);
        let start = Instant::now();
        let answer = work();
        let wall = start.elapsed();
        let took = before.map_or(wall, |before| thread_time().saturating_sub(before));
        let is_too_much = match (self.left.checked_sub(took), self.clock) {
            (Some(left), _) => {
                self.left = left;
                false
            }
            (None, Clock::Wall) => {
                *self = Self {
                    left: BURST,
                    clock: Clock::Thread,
                };
                false
            }
            (None, Clock::Thread) => true,
        };
        (answer, Spent { wall, is_too_much })
    }
}

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Time per byte on the wire.
const PER_BYTE: Duration = Duration::from_micros(1);

/// Additional time per chunk, however short: about what it takes the relay and the kernel to pass
/// it on.
const PER_CHUNK: Duration = Duration::from_micros(100);

/// Largest budget, and that at the start: a body that unpacks to 25 MB at once stays within it.
const BURST: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the processor for so long.
    fn work(time: Duration) {
        let start = thread_time();
        while thread_time() - start < time {}
    }

    /// How many pieces of work fit into a budget that `earned` adds to after each of them, at most
    /// 1000.
    fn pieces(each: Duration, earned: impl Fn(&mut Allowance)) -> usize {
        let mut allowance = Allowance::default();
        let fits = |_: &usize| {
            let ((), spent) = allowance.spend(|| work(each));
            earned(&mut allowance);
            !spent.is_too_much
        };
        (0..1000).take_while(fits).count()
    }

    #[test]
    fn work_is_stopped_when_it_takes_more_than_the_bytes_are_worth() {
        let each = Duration::from_millis(2);
        let burst = usize::try_from(BURST.as_nanos() / each.as_nanos()).unwrap();
        let unearned = pieces(each, |_| {});
        // Twice at most: once by the clock on the wall, which others can use up, and once more by
        // that of the thread.
        assert!(
            (burst / 2..=2 * burst).contains(&unearned),
            "{unearned} pieces"
        );
        assert_eq!(
            pieces(each / 100, |allowance| allowance.earn(0)),
            1000,
            "each chunk is worth more than that"
        );
    }

    #[test]
    fn bytes_and_chunks_earn_up_to_the_burst() {
        let mut allowance = Allowance {
            left: Duration::ZERO,
            clock: Clock::Thread,
        };
        allowance.earn(1000);
        assert_eq!(allowance.left, PER_BYTE * 1000 + PER_CHUNK);
        allowance.earn(0);
        assert_eq!(allowance.left, PER_BYTE * 1000 + 2 * PER_CHUNK);
        allowance.earn(usize::MAX);
        assert_eq!(allowance.left, BURST, "no more is saved up");
    }

    #[test]
    fn waiting_costs_nothing() {
        for clock in [Clock::Wall, Clock::Thread] {
            let mut allowance = Allowance { left: BURST, clock };
            for _ in 0..3 {
                let ((), spent) = allowance.spend(|| std::thread::sleep(BURST + PER_CHUNK));
                assert!(spent.wall > BURST && !spent.is_too_much, "{clock:?}");
            }
            assert_eq!(allowance.clock, Clock::Thread, "{clock:?}");
        }
    }
}
