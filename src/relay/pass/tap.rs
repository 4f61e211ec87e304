//! Counts the bytes that have passed and shows them to the observer, a piece at a time and never
//! for long.
//!
//! Chunks enter when they have been written; the observer gets them in the same order. Observing is
//! done in turns: what a turn leaves over waits here, a few chunks at most, while the task yields
//! to others. An observer that takes more time than the [`Allowance`] of its connection is dropped,
//! which reports its open calls as lost, and the bytes pass on.

use std::collections::VecDeque;
use std::time::Duration;

use memchr::memrchr;
use tokio::time::Instant;

use super::allowance::Allowance;
use crate::observe::{Direction, End, Observer};
use crate::record::{ByteDirection, Fact, ObserverFailure, Record};
use crate::relay::diagnostics::PassSpan;
use crate::relay::lane::LaneObserver;

/// Both directions of one connection, as they are counted and observed.
pub(in crate::relay) struct Tap<'a> {
    /// `None` without an observer, or when it was dropped.
    observer: Option<Box<dyn Observer>>,
    record: &'a dyn Record,
    pub(in crate::relay) passage: PassSpan,
    /// When a byte last moved.
    pub(in crate::relay) last: Instant,
    allowance: Allowance,
    /// The time left in the turn.
    turn: Duration,
    /// How many bytes the observer gets at once.
    piece: usize,
    /// Events that were not observed yet, oldest first.
    waiting: VecDeque<Waiting>,
    /// The bytes in it.
    waiting_bytes: usize,
}

/// An event that the observer has not seen completely.
enum Waiting {
    Bytes {
        direction: Direction,
        bytes: Box<[u8]>,
        /// How many of them it has seen.
        seen: usize,
        read: Instant,
    },
    HalfClosed {
        direction: Direction,
        at: Instant,
    },
}

impl<'a> Tap<'a> {
    pub(in crate::relay) fn new(
        observer: Option<Box<dyn Observer>>,
        record: &'a dyn Record,
        passage: PassSpan,
    ) -> Self {
        Self {
            observer,
            record,
            passage,
            last: Instant::now(),
            allowance: Allowance::default(),
            turn: TURN,
            piece: FIRST_PIECE,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    pub(in crate::relay) fn of<'t>(&'t mut self, direction: Direction) -> DirectedTap<'t, 'a> {
        DirectedTap {
            tap: self,
            direction,
        }
    }

    /// Begins a turn when the task has been woken.
    pub(in crate::relay) fn begin_turn(&mut self) {
        self.turn = TURN;
    }

    /// Whether the task should yield before more is observed.
    pub(in crate::relay) fn turn_is_over(&self) -> bool {
        self.turn.is_zero()
    }

    /// Whether so much waits that some of it must be observed before more is read.
    pub(in crate::relay) fn is_full(&self) -> bool {
        self.waiting_bytes >= MAX_WAITING_BYTES
    }

    /// Observes what waits, until the turn is over. True when nothing waits any more.
    pub(in crate::relay) fn catch_up(&mut self) -> bool {
        while !self.turn_is_over() {
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            match next {
                Waiting::HalfClosed { direction, at } => {
                    self.look(|observer| observer.half_closed(direction, at.into_std()));
                }
                Waiting::Bytes {
                    direction,
                    bytes,
                    seen,
                    read,
                } => {
                    let more = self.feed(direction, bytes.get(seen..).unwrap_or_default(), read);
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(more);
                    if seen + more < bytes.len() {
                        self.waiting.push_front(Waiting::Bytes {
                            direction,
                            bytes,
                            seen: seen + more,
                            read,
                        });
                    }
                }
            }
        }
        self.waiting.is_empty()
    }

    /// Whether closing the connection now cuts nothing off. Without an observer that is unknown.
    pub(in crate::relay) fn is_between_exchanges(&self) -> bool {
        self.waiting.is_empty()
            && self
                .observer
                .as_ref()
                .is_some_and(|observer| observer.is_between_exchanges())
    }

    /// Ends the connection: the observer gets everything that waits, in turns, and then the end.
    pub(in crate::relay) async fn end(&mut self, end: End) {
        let at = Instant::now();
        self.begin_turn();
        while !self.catch_up() {
            tokio::task::yield_now().await;
            self.begin_turn();
        }
        if let Some(mut observer) = self.observer.take() {
            observer.end(end, at.into_std());
        }
    }

    /// Shows bytes to the observer until all are seen or the turn is over; returns how many were
    /// seen.
    fn feed(&mut self, direction: Direction, bytes: &[u8], read: Instant) -> usize {
        let mut seen = 0;
        while let Some(rest @ [_, ..]) = bytes.get(seen..) {
            if self.observer.is_none() {
                return bytes.len();
            }
            if self.turn_is_over() {
                break;
            }
            let piece = first_piece(rest, self.piece);
            let observed = self.look(|observer| observer.read(direction, piece, read.into_std()));
            seen += observed.unwrap_or(piece.len());
        }
        seen
    }

    /// Calls the observer, and drops it when it has taken too long. None without an observer.
    fn look<T>(&mut self, call: impl FnOnce(&mut dyn Observer) -> T) -> Option<T> {
        let observer = self.observer.as_mut()?;
        let (answer, spent) = self.allowance.spend(|| call(&mut **observer));
        self.turn = self.turn.saturating_sub(spent.wall);
        self.piece = match spent.wall {
            short if short < TURN / 8 => (self.piece * 2).min(LARGEST_PIECE),
            long if long > TURN / 2 => (self.piece / 4).max(SMALLEST_PIECE),
            _ => self.piece,
        };
        if spent.is_too_much {
            self.observer = None;
            self.waiting.clear();
            self.waiting_bytes = 0;
            self.record
                .record(Fact::ObserverFailed(ObserverFailure::TimeBudget));
        }
        Some(answer)
    }
}

/// The first `size` bytes, or somewhat fewer so that the piece ends with a line.
fn first_piece(bytes: &[u8], size: usize) -> &[u8] {
    let Some(piece) = bytes.get(..size) else {
        return bytes;
    };
    let (first_half, second_half) = piece.split_at(size / 2);
    let end = memrchr(b'\n', second_half).map_or(size, |at| first_half.len() + at + 1);
    piece.get(..end).unwrap_or(piece)
}

/// One direction of a [`Tap`].
pub(in crate::relay) struct DirectedTap<'t, 'a> {
    tap: &'t mut Tap<'a>,
    direction: Direction,
}

impl DirectedTap<'_, '_> {
    /// Counts a chunk that passed at `at`, and keeps it to be observed.
    pub(in crate::relay) fn passed_before(&mut self, chunk: Box<[u8]>, at: Instant) {
        self.count(chunk.len(), None);
        self.keep(chunk, at);
    }

    /// Counts a chunk, which was `read` then where that is known.
    fn count(&mut self, bytes: usize, read: Option<Instant>) {
        let Self { tap, direction } = self;
        tap.last = Instant::now();
        let counted = match direction {
            Direction::ToAgent => ByteDirection::Received,
            Direction::ToProvider => ByteDirection::Sent,
        };
        tap.record.record(Fact::Bytes {
            direction: counted,
            count: bytes as u64,
            delay: read.map(|read| tap.last - read),
        });
        tap.passage.passed(*direction, bytes as u64);
        tap.allowance.earn(bytes);
    }

    /// Keeps bytes for later turns, unless nobody will look at them.
    fn keep(&mut self, bytes: Box<[u8]>, read: Instant) {
        let Self { tap, direction } = self;
        if tap.observer.is_some() {
            tap.waiting_bytes += bytes.len();
            tap.waiting.push_back(Waiting::Bytes {
                direction: *direction,
                bytes,
                seen: 0,
                read,
            });
        }
    }
}

impl LaneObserver for DirectedTap<'_, '_> {
    fn passed(&mut self, chunk: &[u8], read: Instant) {
        self.count(chunk.len(), Some(read));
        let Self { tap, direction } = self;
        let seen = if tap.waiting.is_empty() {
            tap.feed(*direction, chunk, read)
        } else {
            0
        };
        if let Some(rest @ [_, ..]) = chunk.get(seen..) {
            self.keep(rest.into(), read);
        }
    }

    fn ended(&mut self) {
        let Self { tap, direction } = self;
        tap.last = Instant::now();
        tap.waiting.push_back(Waiting::HalfClosed {
            direction: *direction,
            at: tap.last,
        });
        tap.catch_up();
    }
}

/// How long a task observes before it yields: as long as some twenty chunks take to pass, and far
/// longer than observing them takes.
const TURN: Duration = Duration::from_millis(1);

/// Most bytes that wait for the observer, besides one chunk in flight each way: beyond that the
/// connection itself waits, for no longer than its allowance lasts.
const MAX_WAITING_BYTES: usize = 32 << 10;

/// How many bytes the observer gets at once: fewer while it is slow, because a call ends by itself
/// only where bytes are decompressed, and more while it is quick, because observers read complete lines and documents
/// several times as fast as parts of them.
const FIRST_PIECE: usize = 256;
const SMALLEST_PIECE: usize = 64;
const LARGEST_PIECE: usize = 4 << 10;
