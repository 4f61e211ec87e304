//! The memory that all observers of the process may use together.
//!
//! A holder of a window or buffer that a peer can make large takes a [`Share`] of the one
//! [`Memory`]; dropping the share returns it. Nothing is allocated here: shares are numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::record::ObserverFailure;

/// A budget of memory. Clones take from the same budget.
#[derive(Debug, Clone)]
pub struct Memory {
    /// In bytes.
    left: Arc<AtomicUsize>,
}

impl Memory {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(bytes)),
        }
    }

    /// A share of nothing, which grows by [`Share::cover`].
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

impl Default for Memory {
    /// A budget of [`DEFAULT_BYTES`].
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

/// A part of a budget, which goes back when this is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Memory,
    bytes: usize,
}

/// The budget has less left than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl From<Exhausted> for ObserverFailure {
    fn from(Exhausted: Exhausted) -> Self {
        Self::MemoryBudget
    }
}

impl Share {
    /// Grows the share to so many bytes; one that is as large already stays as it is.
    ///
    /// # Errors
    /// [`Exhausted`] when the budget does not have that much left; the share stays as it is.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let wanted = bytes.checked_next_multiple_of(STEP).ok_or(Exhausted)?;
        let more = wanted.saturating_sub(self.bytes);
        let taken = self
            .memory
            .left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(more));
        taken.map_err(|_| Exhausted)?;
        self.bytes = wanted;
        Ok(())
    }

    /// The budget that this is a share of.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        self.memory
            .left
            .fetch_add(std::mem::take(&mut self.bytes), Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

/// What the observers of a process may use by default, in bytes: some 1,500 gzip windows, or 8 of
/// the largest windows that a body may ask for.
pub const DEFAULT_BYTES: usize = 64 << 20;

/// Shares grow in steps of a page, so that a window that grows byte by byte does not count byte by
/// byte.
const STEP: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_up_to_the_budget_and_go_back() {
        let memory = Memory::new(3 * STEP);
        let (mut one, mut other) = (memory.share(), memory.share());
        assert_eq!(one.cover(1), Ok(()));
        assert_eq!(one.cover(STEP), Ok(()));
        assert_eq!(other.cover(2 * STEP + 1), Err(Exhausted));
        assert_eq!(other.cover(2 * STEP), Ok(()));
        assert_eq!(one.cover(STEP + 1), Err(Exhausted));
        drop(other);
        assert_eq!(one.cover(3 * STEP), Ok(()));
        one.release();
        assert_eq!(memory.share().cover(usize::MAX), Err(Exhausted));
        assert_eq!(memory.share().cover(3 * STEP), Ok(()));
        assert_eq!(
            memory.share().cover(3 * STEP),
            Ok(()),
            "the share before was given back"
        );
    }
}
