//! Counts what has passed and lends it to the observer, a piece at a time and never for long.
//!
//! Chunks enter when they have been written; the observer gets them in the same order. Looking at
//! them is done in turns: what a turn leaves over waits here, a few chunks at most, while the task
//! lets others work. An observer that takes more time than the [`Allowance`] of its connection is
//! dropped, which states its open calls as lost, and the bytes pass on.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::allowance::Allowance;
use crate::observe::{Direction, End, Observer};
use crate::record::{ByteDirection, Fact, ObserverFailure, Record};
use crate::relay::diagnostics::Passage;
use crate::relay::lane::Witness;

/// Both directions of one connection, as they are counted and observed.
pub(super) struct Tap<'a> {
    /// None where nobody looks, or not any more.
    observer: Option<Box<dyn Observer>>,
    record: &'a dyn Record,
    pub(super) passage: Passage,
    /// When a byte last moved.
    pub(super) last: Instant,
    allowance: Allowance,
    /// What is left of the turn.
    turn: Duration,
    /// How many bytes are lent at once.
    piece: usize,
    /// What has passed and was not looked at yet, oldest first.
    waiting: VecDeque<Waiting>,
    /// The bytes in it.
    waiting_bytes: usize,
}

/// Something that the observer has still to be told.
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
    pub(super) fn new(
        observer: Option<Box<dyn Observer>>,
        record: &'a dyn Record,
        passage: Passage,
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

    pub(super) fn of<'t>(&'t mut self, direction: Direction) -> DirectedTap<'t, 'a> {
        DirectedTap {
            tap: self,
            direction,
        }
    }

    /// The task has been woken: there is time for looking again.
    pub(super) fn begin_turn(&mut self) {
        self.turn = TURN;
    }

    /// Whether others should work before anything more is looked at.
    pub(super) fn turn_is_over(&self) -> bool {
        self.turn.is_zero()
    }

    /// Whether so much waits that nothing more may be read before some of it has been looked at.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes >= MAX_WAITING_BYTES
    }

    /// Looks at what waits, until the turn is over. True when nothing waits any more.
    pub(super) fn catch_up(&mut self) -> bool {
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
                    let more = self.lend(direction, bytes.get(seen..).unwrap_or_default(), read);
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

    /// Whether closing the connection now cuts nothing off. Where nobody looks that cannot be told.
    pub(super) fn is_between_exchanges(&self) -> bool {
        self.waiting.is_empty()
            && self
                .observer
                .as_ref()
                .is_some_and(|observer| observer.is_between_exchanges())
    }

    /// The connection has ended: the observer is told everything that waits, in turns, and then the
    /// end.
    pub(super) async fn end(&mut self, end: End) {
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

    /// Lends bytes until all are seen or the turn is over; how many were seen.
    fn lend(&mut self, direction: Direction, bytes: &[u8], read: Instant) -> usize {
        let mut seen = 0;
        while let Some(rest @ [_, ..]) = bytes.get(seen..) {
            if self.observer.is_none() {
                return bytes.len();
            }
            if self.turn_is_over() {
                break;
            }
            let piece = rest.get(..self.piece).unwrap_or(rest);
            self.look(|observer| observer.bytes(direction, piece, read.into_std()));
            seen += piece.len();
        }
        seen
    }

    /// Calls the observer, and lets it go when it has taken too long.
    fn look(&mut self, call: impl FnOnce(&mut dyn Observer)) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        let spent = self.allowance.spend(|| call(&mut **observer));
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
    }
}

/// One direction of a [`Tap`].
pub(super) struct DirectedTap<'t, 'a> {
    tap: &'t mut Tap<'a>,
    direction: Direction,
}

impl Witness for DirectedTap<'_, '_> {
    fn passed(&mut self, chunk: &[u8], read: Instant) {
        let Self { tap, direction } = self;
        tap.last = Instant::now();
        let counted = match direction {
            Direction::ToAgent => ByteDirection::Received,
            Direction::ToProvider => ByteDirection::Sent,
        };
        tap.record.record(Fact::Bytes {
            direction: counted,
            count: chunk.len() as u64,
        });
        tap.record.record(Fact::RelayDelay(tap.last - read));
        tap.passage.passed(*direction, chunk.len() as u64);
        tap.allowance.earn(chunk.len());
        let seen = if tap.waiting.is_empty() {
            tap.lend(*direction, chunk, read)
        } else {
            0
        };
        if let Some(rest @ [_, ..]) = chunk.get(seen..) {
            tap.waiting_bytes += rest.len();
            tap.waiting.push_back(Waiting::Bytes {
                direction: *direction,
                bytes: rest.into(),
                seen: 0,
                read,
            });
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

/// How long a task looks at its connection before others work: as long as some twenty chunks take
/// to pass, and far more than what looking at them takes.
const TURN: Duration = Duration::from_millis(1);

/// More than this is not kept for looking at it later, beside one chunk each way that is on its
/// way: the connection itself waits then, for no longer than its allowance lasts.
const MAX_WAITING_BYTES: usize = 32 << 10;

/// How much is lent at once: less while looking at it takes long, because what happens inside one
/// piece cannot be interrupted, and more while it is quick, because the readers prefer whole
/// documents.
const FIRST_PIECE: usize = 256;
const SMALLEST_PIECE: usize = 64;
const LARGEST_PIECE: usize = 4 << 10;
