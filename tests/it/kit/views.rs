//! What Gravimeter says: every fact, and every byte that it lent to an observer.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gravimeter::observe::{Connection, Direction, End, Observer, OpenObserver};
use gravimeter::record::{ByteDirection, Fact, Record};
use tokio::sync::Notify;

use super::soon;

/// Every fact, in order; what is said of each chunk is only summed up.
#[derive(Default)]
pub struct Facts {
    facts: Mutex<Vec<Fact>>,
    sent: AtomicU64,
    received: AtomicU64,
    news: Notify,
}

impl Record for Facts {
    fn record(&self, fact: Fact) {
        match fact {
            Fact::Bytes {
                direction: ByteDirection::Sent,
                count,
                ..
            } => _ = self.sent.fetch_add(count, Relaxed),
            Fact::Bytes {
                direction: ByteDirection::Received,
                count,
                ..
            } => _ = self.received.fetch_add(count, Relaxed),
            fact => self.facts.lock().expect("no panic").push(fact),
        }
        self.news.notify_waiters();
    }
}

impl Facts {
    pub fn all(&self) -> Vec<Fact> {
        self.facts.lock().expect("no panic").clone()
    }

    /// Bytes sent and received.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Relaxed), self.received.load(Relaxed))
    }

    pub fn count(&self, wanted: &Fact) -> usize {
        self.all().iter().filter(|fact| *fact == wanted).count()
    }

    /// Waits until the fact has been stated.
    pub async fn wait_for(&self, wanted: Fact) {
        self.wait_until(&wanted, 1).await;
    }

    /// Waits until the fact has been stated `times` times.
    pub async fn wait_until(&self, wanted: &Fact, times: usize) {
        soon(async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if self.count(wanted) >= times {
                    return;
                }
                news.await;
            }
        })
        .await;
    }
}

/// What the observer of one connection was lent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    pub alpn: Option<String>,
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
    pub half_closed: Vec<Direction>,
    pub end: Option<End>,
}

/// Observers that keep everything, or nothing but the end.
pub struct Recorder {
    pub keep: bool,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// Whether an exchange shall count as open.
    pub busy: Arc<Mutex<bool>>,
}

struct Recording {
    keep: bool,
    at: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
    busy: Arc<Mutex<bool>>,
}

impl OpenObserver for Recorder {
    fn open(&self, connection: Connection) -> Box<dyn Observer> {
        let mut seen = self.seen.lock().expect("no panic");
        seen.push(Seen {
            alpn: Some(format!("{:?}", connection.alpn)),
            ..Seen::default()
        });
        let (seen_by, busy) = (Arc::clone(&self.seen), Arc::clone(&self.busy));
        Box::new(Recording {
            keep: self.keep,
            at: seen.len() - 1,
            seen: seen_by,
            busy,
        })
    }
}

impl Observer for Recording {
    fn read(&mut self, direction: Direction, bytes: &[u8], _: Instant) -> usize {
        let seen = &mut self.seen.lock().expect("no panic")[self.at];
        match direction {
            _ if !self.keep => {}
            Direction::ToAgent => seen.received.extend_from_slice(bytes),
            Direction::ToProvider => seen.sent.extend_from_slice(bytes),
        }
        bytes.len()
    }

    fn half_closed(&mut self, direction: Direction, _: Instant) {
        self.seen.lock().expect("no panic")[self.at]
            .half_closed
            .push(direction);
    }

    fn is_between_exchanges(&self) -> bool {
        !*self.busy.lock().expect("no panic")
    }

    fn end(&mut self, end: End, _: Instant) {
        let seen = &mut self.seen.lock().expect("no panic")[self.at];
        assert!(seen.end.replace(end).is_none(), "the end comes once");
    }
}
