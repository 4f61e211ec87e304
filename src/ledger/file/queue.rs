//! The queue of facts that wait to be written: bounded, never blocking the thread that reports a
//! fact, and exact about how many it had no room for.
//!
//! Facts enter from any thread, batches leave to the one writer. [`Queue::settle`] waits until
//! everything that was put in before it is on disk.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::record::{Fact, LedgerRecord};

/// A fact, and when it was reported.
#[derive(Debug)]
pub(in crate::ledger) struct Entry {
    pub(in crate::ledger) at: Timestamp,
    pub(in crate::ledger) fact: Fact,
}

/// The queue between the sink and the writer.
#[derive(Debug)]
pub(in crate::ledger) struct Queue {
    limit: usize,
    /// Guards what waits: locked for one entry, or to take a whole batch.
    waiting: Mutex<Waiting>,
    /// Something came, or the end.
    news: Condvar,
    /// The writer is done with a batch, or in trouble.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// Entries that the writer has taken and not settled.
    in_hand: usize,
    /// How many were ever put in.
    put: u64,
    /// Of those, how many are on disk or given up.
    settled: u64,
    /// Up to this one a caller waits for them, so that they are not collected any longer.
    hurried: u64,
    /// The file fails, so that no caller should wait for it.
    is_troubled: bool,
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// The writer shall write what is left and end.
    Closing,
    /// The writer has ended.
    Closed,
}

impl Queue {
    pub(in crate::ledger) fn new(limit: usize) -> Self {
        Self {
            limit,
            waiting: Mutex::default(),
            news: Condvar::new(),
            progress: Condvar::new(),
        }
    }

    /// Puts an entry in; `false` when there is no room. Of the room, a quarter is for calls alone:
    /// without its call, no other record is of any use.
    pub(in crate::ledger) fn put(&self, entry: Entry, kind: LedgerRecord) -> bool {
        let mut waiting = self.waiting();
        let limit = if kind == LedgerRecord::Call {
            self.limit
        } else {
            self.limit / 4 * 3
        };
        if waiting.end != End::Open || waiting.entries.len() + waiting.in_hand >= limit {
            return false;
        }
        waiting.entries.push_back(entry);
        waiting.put += 1;
        // The writer sleeps only while the queue is empty: a second entry finds it awake.
        if waiting.entries.len() == 1 {
            self.news.notify_one();
        }
        true
    }

    /// Waits for entries, at most `idle`, and then for others to come with them, at most `window`
    /// or until a caller waits for the batch. Empty after `idle`; `None` when all is written and
    /// the end has come.
    pub(in crate::ledger) fn batch(
        &self,
        window: Duration,
        idle: Duration,
        limit: usize,
    ) -> Option<Vec<Entry>> {
        let is_quiet =
            |waiting: &mut Waiting| waiting.entries.is_empty() && waiting.end == End::Open;
        let mut waiting = self
            .news
            .wait_timeout_while(self.waiting(), idle, is_quiet)
            .map_or_else(recover, |it| it.0);
        let is_young = |waiting: &mut Waiting| {
            let has_room = !waiting.entries.is_empty() && waiting.entries.len() < limit;
            has_room && waiting.settled >= waiting.hurried && waiting.end == End::Open
        };
        waiting = self
            .news
            .wait_timeout_while(waiting, window, is_young)
            .map_or_else(recover, |it| it.0);
        if waiting.entries.is_empty() && waiting.end != End::Open {
            return None;
        }
        let count = waiting.entries.len().min(limit);
        waiting.in_hand = count;
        Some(waiting.entries.drain(..count).collect())
    }

    /// The batch in hand is on disk, or given up.
    pub(super) fn settled(&self) {
        let mut waiting = self.waiting();
        waiting.settled += u64::try_from(std::mem::take(&mut waiting.in_hand)).unwrap_or_default();
        waiting.is_troubled = false;
        self.progress.notify_all();
    }

    /// The batch in hand could not be written: pauses before it is tried again. Returns whether the
    /// end is near.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let mut waiting = self.waiting();
        waiting.is_troubled = true;
        self.progress.notify_all();
        let is_open = |waiting: &mut Waiting| waiting.end == End::Open;
        waiting = self
            .news
            .wait_timeout_while(waiting, pause, is_open)
            .map_or_else(recover, |it| it.0);
        waiting.end != End::Open
    }

    /// Waits until everything that was put in before now is on disk, at most `limit`, and not at
    /// all while the file fails. Returns whether it is.
    pub(in crate::ledger) fn settle(&self, limit: Duration) -> bool {
        let mut waiting = self.waiting();
        let wanted = waiting.put;
        if waiting.settled >= wanted {
            return true;
        }
        waiting.hurried = wanted;
        self.news.notify_one();
        let is_due = |waiting: &mut Waiting| {
            waiting.settled < wanted && !waiting.is_troubled && waiting.end != End::Closed
        };
        waiting = self
            .progress
            .wait_timeout_while(waiting, limit, is_due)
            .map_or_else(recover, |it| it.0);
        waiting.settled >= wanted
    }

    /// Lets the writer write what is left and end; waits for that at most `limit`. Returns whether
    /// it has ended.
    pub(in crate::ledger) fn close(&self, limit: Duration) -> bool {
        let mut waiting = self.waiting();
        if waiting.end == End::Open {
            waiting.end = End::Closing;
        }
        self.news.notify_one();
        let is_open = |waiting: &mut Waiting| waiting.end != End::Closed;
        waiting = self
            .progress
            .wait_timeout_while(waiting, limit, is_open)
            .map_or_else(recover, |it| it.0);
        waiting.end == End::Closed
    }

    /// The writer has ended. What is left is given up and handed back.
    pub(in crate::ledger) fn closed(&self) -> Vec<Entry> {
        let mut waiting = self.waiting();
        waiting.end = End::Closed;
        let rest: Vec<Entry> = waiting.entries.drain(..).collect();
        waiting.settled = waiting.put;
        self.progress.notify_all();
        rest
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that panicked while it held the lock has left nothing half done: every change here is
/// one assignment.
fn recover<T>(poisoned: PoisonError<(T, std::sync::WaitTimeoutResult)>) -> T {
    poisoned.into_inner().0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test takes.
    const HOUR: Duration = Duration::from_secs(3600);

    fn queue_with_a_batch_in_hand() -> Queue {
        let queue = Queue::new(10);
        let entry = Entry {
            at: Timestamp::UNIX_EPOCH,
            fact: Fact::AgentUp(true),
        };
        assert!(queue.put(entry, LedgerRecord::Call));
        let batch = queue.batch(Duration::ZERO, HOUR, 10);
        assert_eq!(batch.map(|batch| batch.len()), Some(1));
        queue
    }

    #[test]
    fn a_pause_lasts_as_long_as_it_should_unless_the_end_comes() {
        let queue = queue_with_a_batch_in_hand();
        assert!(!queue.pause(Duration::ZERO), "the end is not near");
        std::thread::scope(|threads| {
            let paused = threads.spawn(|| queue.pause(HOUR));
            assert!(!queue.close(Duration::ZERO), "the writer has not ended");
            assert!(paused.join().unwrap(), "the end wakes it");
        });
        assert!(queue.pause(HOUR), "and lets it pause no more");
    }

    #[test]
    fn nobody_waits_for_a_file_that_fails() {
        let queue = queue_with_a_batch_in_hand();
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| queue.settle(HOUR));
            queue.pause(Duration::ZERO);
            assert!(!waiting.join().unwrap(), "one who waits is released");
        });
        assert!(!queue.settle(HOUR), "and another does not wait");
        queue.settled();
        assert!(queue.settle(HOUR), "until it is written");
    }
}
