//! The plaintext bytes of a provider's connection that have passed and were not observed yet.
//!
//! HTTP adds them as it reads and writes; the connection takes them when HTTP has had its turn, so
//! that forwarding comes first and observing second. While too many wait, HTTP neither reads nor
//! writes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::observe::Direction;
use crate::relay::lane::LaneObserver as _;
use crate::relay::pass::tap::Tap;

/// What has passed.
#[derive(Debug, Default)]
pub(super) struct Passed(Mutex<Waiting>);

/// What waits to be observed, and for it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: VecDeque<Event>,
    /// The bytes in them.
    bytes: usize,
    /// The directions that have ended.
    ended: Vec<Direction>,
    /// Waits for room.
    waker: Option<Waker>,
    /// Reading or writing has failed.
    has_failed: bool,
}

#[derive(Debug)]
enum Event {
    Bytes(Direction, Box<[u8]>, Instant),
    Ended(Direction),
}

impl Waiting {
    pub(super) fn add(&mut self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.events
                .push_back(Event::Bytes(direction, bytes.into(), Instant::now()));
        }
    }

    /// Nothing more comes from that side.
    pub(super) fn ended(&mut self, direction: Direction) {
        if !self.ended.contains(&direction) {
            self.ended.push(direction);
            self.events.push_back(Event::Ended(direction));
        }
    }
}

impl Passed {
    /// Ready when there is room for more.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.lock();
        if waiting.bytes < MAX_BYTES {
            return Poll::Ready(());
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes note of an operation on the stream, and passes its result on.
    pub(super) fn note<T>(
        &self,
        result: io::Result<T>,
        done: impl FnOnce(&mut Waiting, &T),
    ) -> Poll<io::Result<T>> {
        let mut waiting = self.lock();
        match &result {
            Ok(value) => done(&mut waiting, value),
            Err(_) => waiting.has_failed = true,
        }
        Poll::Ready(result)
    }

    /// Whether the provider's side has broken off.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// Hands what has passed to the tap, as far as that has room, and lets it observe until its turn
    /// is over. True when nothing waits any more.
    pub(super) fn observe(&self, tap: &mut Tap<'_>) -> bool {
        loop {
            let has_seen_all = tap.catch_up();
            if tap.is_full() {
                return false;
            }
            let Some(event) = self.next() else {
                return has_seen_all;
            };
            match event {
                Event::Bytes(direction, bytes, at) => tap.of(direction).passed_before(bytes, at),
                Event::Ended(direction) => tap.of(direction).ended(),
            }
        }
    }

    fn next(&self) -> Option<Event> {
        let mut waiting = self.lock();
        let event = waiting.events.pop_front()?;
        if let Event::Bytes(_, bytes, _) = &event {
            waiting.bytes = waiting.bytes.saturating_sub(bytes.len());
        }
        if waiting.bytes < MAX_BYTES
            && let Some(waker) = waiting.waker.take()
        {
            waker.wake();
        }
        Some(event)
    }

    /// All users are parts of one task: nobody ever waits here.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most bytes that wait here: what HTTP reads and writes in one turn fits, and a connection whose
/// observer is slow holds no more than this.
const MAX_BYTES: usize = 64 << 10;
