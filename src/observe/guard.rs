//! A wall around an observer: a panic inside costs the figures of its connection, never a byte of the traffic.
//!
//! Calls enter and pass on; the first panic is counted, drops the observer, and makes every later call do nothing.
//! The default panic hook prints the payload, which may hold bytes of the wire: `app` installs a hook that does not.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};

/// An observer that cannot panic.
pub struct Guarded {
    /// Taken out while a call runs; None after a panic.
    inner: Cell<Option<Box<dyn Observer>>>,
    record: Arc<dyn Record>,
}

impl Guarded {
    /// Builds the wall around `inner`; a panic is counted by `record`.
    #[must_use]
    pub fn new(inner: Box<dyn Observer>, record: Arc<dyn Record>) -> Self {
        Self { inner: Cell::new(Some(inner)), record }
    }

    /// Runs one call on the observer. None when there is no observer any more.
    fn call<T>(&self, call: impl FnOnce(&mut dyn Observer) -> T) -> Option<T> {
        let mut inner = self.inner.take()?;
        match catch_unwind(AssertUnwindSafe(|| call(&mut *inner))) {
            Ok(answer) => {
                self.inner.set(Some(inner));
                Some(answer)
            }
            Err(payload) => {
                discard(payload);
                discard(inner);
                self.record.record(Fact::ObserverFailed(ObserverFailure::Panic));
                None
            }
        }
    }
}

impl Observer for Guarded {
    fn bytes(&mut self, direction: Direction, bytes: &[u8], at: Instant) {
        self.call(|inner| inner.bytes(direction, bytes, at));
    }

    fn half_closed(&mut self, direction: Direction, at: Instant) {
        self.call(|inner| inner.half_closed(direction, at));
    }

    /// True after a panic: nothing is left that could tell, and draining must not wait for it.
    fn is_between_exchanges(&self) -> bool {
        self.call(|inner| inner.is_between_exchanges()).unwrap_or(true)
    }

    fn end(&mut self, end: End, at: Instant) {
        self.call(|inner| inner.end(end, at));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        discard(self.inner.take());
    }
}

/// Drops a value whose drop may panic, and so may the drop of that panic's payload, which is forgotten instead.
fn discard<T>(value: T) {
    let dropped: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| drop(value)));
    if let Err(payload) = dropped {
        std::mem::forget(payload);
    }
}
