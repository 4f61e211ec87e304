//! A wall around an observer: a panic inside costs the figures of its connection, never a byte of
//! the traffic.
//!
//! Calls enter and pass on; the first panic is counted, drops the observer, and makes every later
//! call do nothing. The default panic hook prints the payload, which may hold bytes of the wire:
//! `app` installs a hook that does not.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};

/// An observer that cannot panic.
pub(crate) struct Guarded {
    /// Taken out while a call runs; None after a panic.
    inner: Cell<Option<Box<dyn Observer>>>,
    record: Arc<dyn Record>,
}

impl Guarded {
    /// Builds the wall around `inner`; a panic is counted by `record`.
    #[must_use]
    pub(crate) fn new(inner: Box<dyn Observer>, record: Arc<dyn Record>) -> Self {
        Self {
            inner: Cell::new(Some(inner)),
            record,
        }
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
                self.record
                    .record(Fact::ObserverFailed(ObserverFailure::Panic));
                None
            }
        }
    }
}

impl Observer for Guarded {
    fn read(&mut self, direction: Direction, bytes: &[u8], at: Instant) -> usize {
        self.call(|inner| inner.read(direction, bytes, at))
            .unwrap_or(bytes.len())
    }

    fn half_closed(&mut self, direction: Direction, at: Instant) {
        self.call(|inner| inner.half_closed(direction, at));
    }

    /// True after a panic: nothing is left that could tell, and draining must not wait for it.
    fn is_between_exchanges(&self) -> bool {
        self.call(|inner| inner.is_between_exchanges())
            .unwrap_or(true)
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

/// Drops a value whose drop may panic, and so may the drop of that panic's payload, which is
/// forgotten instead.
fn discard<T>(value: T) {
    let dropped: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| drop(value)));
    if let Err(payload) = dropped {
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Facts(Mutex<Vec<Fact>>);

    impl Record for Facts {
        fn record(&self, fact: Fact) {
            self.0.lock().unwrap().push(fact);
        }
    }

    /// Panics at the nth call, and again when it is dropped, with a payload that panics too.
    struct Bomb(Cell<usize>);

    struct Splinter;

    impl Drop for Splinter {
        fn drop(&mut self) {
            panic!("the payload of an injected panic");
        }
    }

    impl Bomb {
        fn tick(&self) {
            if self.0.replace(self.0.get().wrapping_sub(1)) == 0 {
                panic_any(Splinter);
            }
        }
    }

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Splinter);
        }
    }

    impl Observer for Bomb {
        fn read(&mut self, _: Direction, bytes: &[u8], _: Instant) -> usize {
            self.tick();
            bytes.len()
        }

        fn half_closed(&mut self, _: Direction, _: Instant) {
            self.tick();
        }

        fn is_between_exchanges(&self) -> bool {
            self.tick();
            false
        }

        fn end(&mut self, _: End, _: Instant) {
            self.tick();
        }
    }

    #[test]
    fn a_panic_at_any_call_is_counted_once_and_goes_no_further() {
        for calls_before in 0..5 {
            let facts = Arc::new(Facts::default());
            let mut guarded = Guarded::new(
                Box::new(Bomb(Cell::new(calls_before))),
                Arc::clone(&facts) as Arc<dyn Record>,
            );
            let at = Instant::now();
            guarded.bytes(Direction::ToAgent, b"x", at);
            assert_eq!(guarded.is_between_exchanges(), calls_before < 2);
            guarded.half_closed(Direction::ToAgent, at);
            guarded.end(End::Closed, at);
            drop(guarded);
            let counted = usize::from(calls_before < 4);
            assert_eq!(
                *facts.0.lock().unwrap(),
                vec![Fact::ObserverFailed(ObserverFailure::Panic); counted]
            );
        }
    }
}
