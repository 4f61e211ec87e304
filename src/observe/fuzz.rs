//! Entry for fuzzers: any bytes, as a connection of either protocol.
//!
//! The framings must survive them without a panic, end each exchange once, and count at most one loss of the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::exchange::{Exchange, ExchangeEnd, OpenExchange, RequestHead, ResponseHead};
use super::framing::Framing;
use super::{Alpn, Direction, End, Observer};
use crate::record::{Fact, Record};

/// Replays the bytes as a connection: a control byte before each piece says its direction (lowest bit) and its length.
/// Panics when an exchange that was opened did not end exactly once.
pub fn fuzz_framing(alpn: Alpn, mut bytes: &[u8]) {
    let balance = Balance::default();
    let mut framing = Framing::new(alpn, Box::new(balance.clone()), Arc::new(balance.clone()));
    let at = Instant::now();
    while let Some((control, rest)) = bytes.split_first() {
        let direction = if control & 1 == 0 { Direction::ToProvider } else { Direction::ToAgent };
        let (piece, after) = rest.split_at(usize::from(control >> 1).min(rest.len()));
        framing.bytes(direction, piece, at);
        bytes = after;
    }
    framing.end(End::Closed, at);
    let (opened, ended) = (balance.opened.load(Ordering::Relaxed), balance.ended.load(Ordering::Relaxed));
    assert_eq!(opened, ended, "exchanges opened and ended");
}

/// Counts exchanges.
#[derive(Clone, Default)]
struct Balance {
    opened: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl OpenExchange for Balance {
    fn open(&mut self, _: &RequestHead, _: Instant) -> Option<Box<dyn Exchange>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(self.clone()))
    }
}

impl Exchange for Balance {
    fn request_body(&mut self, _: &[u8], _: Instant) {}

    fn response_head(&mut self, _: &ResponseHead, _: Instant) {}

    fn response_body(&mut self, _: &[u8], _: Instant) {}

    fn end(self: Box<Self>, _: ExchangeEnd, _: Instant) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Record for Balance {
    fn record(&self, _: Fact) {}
}
