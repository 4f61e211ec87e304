//! A bounded queue of entries that wait for something, oldest first, each with its time of arrival.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most `MAX` waiting entries; one more pushes the oldest out.
#[derive(Debug)]
pub(super) struct WaitingQueue<T, const MAX: usize> {
    entries: VecDeque<(Instant, T)>,
}

impl<T, const MAX: usize> WaitingQueue<T, MAX> {
    /// Adds an entry. Returns the oldest one when there was no room.
    pub(super) fn push(&mut self, entry: T, now: Instant) -> Option<T> {
        self.entries.push_back((now, entry));
        let oldest = (self.entries.len() > MAX).then(|| self.entries.pop_front());
        oldest.flatten().map(|(_, entry)| entry)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether one more entry would push the oldest out.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX
    }

    /// Removes and returns the oldest entry that matches.
    pub(super) fn take_first(&mut self, matches: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.entries.iter().position(|(_, entry)| matches(entry))?;
        self.entries.remove(index).map(|(_, entry)| entry)
    }

    /// Removes and returns all entries that match.
    pub(super) fn take_all(&mut self, matches: impl Fn(&T) -> bool) -> Vec<T> {
        let (taken, left): (Vec<_>, _) = self
            .entries
            .drain(..)
            .partition(|(_, entry)| matches(entry));
        self.entries = left.into();
        taken.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Removes and returns the entries that have waited for `limit` or longer.
    pub(super) fn take_late(
        &mut self,
        now: Instant,
        limit: Duration,
    ) -> impl Iterator<Item = T> + '_ {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= limit;
        let late = self.entries.iter().take_while(|(since, _)| is_late(*since));
        let late = late.count();
        self.entries.drain(..late).map(|(_, entry)| entry)
    }
}

impl<T, const MAX: usize> Default for WaitingQueue<T, MAX> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }
}
