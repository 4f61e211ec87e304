//! Entries for fuzzers: any bytes, as what an agent and a provider say to each other, by requests and
//! answers or over a WebSocket.
//!
//! Unlike in the program, a panic is not caught here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::observer::Exchanges;
use crate::observe::framing::Framing;
use crate::observe::memory::Memory;
use crate::observe::{Alpn, Connection, Direction, End, Observer as _};
use crate::record::{
    Call, ConnectionCaller, Fact, Host, Outcome, Quality, Record, Timing, TokenUsage,
};

/// Reads the bytes as the exchanges of a connection. The first byte chooses the host and the length
/// of pieces, the next two say how many of the others are the agent's. Panics when a call that has
/// begun does not end exactly once, or when the cuts make a difference.
pub fn fuzz_dialects(bytes: &[u8]) {
    let [choice, high, low, wire @ ..] = bytes else {
        return;
    };
    let (request, response) =
        wire.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(wire.len()));
    let pieces = [
        (Direction::ToProvider, request),
        (Direction::ToAgent, response),
    ];
    assert_same(*choice, &pieces, usize::from(choice >> 2).max(1));
}

/// The same of ends that take turns, as they do over a WebSocket: the first byte chooses the host and
/// the length of smaller pieces, and a control byte before each piece says its direction (lowest
/// bit) and its length.
pub fn fuzz_sessions(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut pieces = Vec::new();
    while let Some((control, after)) = rest.split_first() {
        let direction = if control & 1 == 0 {
            Direction::ToProvider
        } else {
            Direction::ToAgent
        };
        let piece;
        (piece, rest) = after.split_at(usize::from(control >> 1).min(after.len()));
        pieces.push((direction, piece));
    }
    assert_same(*choice, &pieces, usize::from(choice >> 3).max(1));
}

/// Panics when what is recorded differs where the pieces are cut into smaller ones. How much of
/// damaged compression can be read depends on how much of it is there at once, so that of damaged
/// bytes only the verdict on each call is the same.
fn assert_same(choice: u8, pieces: &[(Direction, &[u8])], size: usize) {
    let (whole, cut) = (
        facts(choice, pieces, usize::MAX),
        facts(choice, pieces, size),
    );
    let is_damaged = |fact: &Fact| matches!(fact, Fact::ObserverFailed(_));
    if whole.iter().chain(&cut).any(is_damaged) {
        assert_eq!(verdicts(&whole), verdicts(&cut), "in pieces of {size}");
    } else {
        assert_eq!(whole, cut, "in pieces of {size}");
    }
}

/// How every call ended and what it has spent.
fn verdicts(facts: &[Fact]) -> Vec<(Outcome, Option<u16>, TokenUsage, Quality)> {
    let calls = facts.iter().filter_map(|fact| match fact {
        Fact::Call(call) => Some((call.outcome, call.status, call.usage, call.quality)),
        _ => None,
    });
    calls.collect()
}

/// The hosts that a choice stands for, over and over.
pub const HOSTS: [&str; 9] = [
    "cloudcode-pa.googleapis.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "api.anthropic.com",
    "api.openai.com",
    "chatgpt.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "localhost",
    "api.mistral.ai",
];

/// What is recorded of a connection whose bytes come in pieces of at most this size: of every call
/// all but its identity and its times, and all that is told besides.
fn facts(choice: u8, pieces: &[(Direction, &[u8])], size: usize) -> Vec<Fact> {
    let mut hosts = HOSTS.iter().cycle();
    let host = hosts.nth(usize::from(choice));
    let Some(host) = host.and_then(|host| Host::parse(host).ok()) else {
        return Vec::new();
    };
    let facts = Arc::new(Facts::default());
    let record = || Arc::clone(&facts) as Arc<dyn Record>;
    let opened = Instant::now();
    let opened_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let connection = Connection {
        host,
        alpn: Alpn::Http1,
        opened,
        opened_at,
        port: 443,
        setup: None,
        caller: ConnectionCaller::default(),
        changes: None,
    };
    let exchanges = Exchanges {
        connection,
        record: record(),
        memory: Memory::default(),
    };
    let mut framing = Framing::new(
        Alpn::Http1,
        Box::new(exchanges),
        record(),
        Memory::default(),
    );
    for (direction, bytes) in pieces {
        bytes
            .chunks(size)
            .for_each(|piece| framing.bytes(*direction, piece, opened));
    }
    framing.end(End::ProviderGone, opened);
    drop(framing);
    let mut facts = facts.0.lock().unwrap_or_else(PoisonError::into_inner);
    let count = |is_it: fn(&Fact) -> bool| facts.iter().filter(|fact| is_it(fact)).count();
    assert_eq!(
        count(|fact| matches!(fact, Fact::CallStarted(_))),
        count(|fact| matches!(fact, Fact::Call(_))),
        "calls begun and ended"
    );
    facts.drain(..).filter_map(comparable).collect()
}

/// A fact without what depends on how the bytes were cut.
fn comparable(fact: Fact) -> Option<Fact> {
    match fact {
        Fact::Call(call) => {
            let timing = Timing {
                time_to_first_chunk: None,
                content_duration: None,
                ..call.timing
            };
            Some(Fact::Call(Box::new(Call {
                number: 0,
                timing,
                ..*call
            })))
        }
        Fact::IdsJoined(_)
        | Fact::ModelNamed(_)
        | Fact::ObserverFailed(_)
        | Fact::Quota(_)
        | Fact::TotalCompared { .. } => Some(fact),
        _ => None,
    }
}

#[derive(Default)]
struct Facts(Mutex<Vec<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fact);
    }
}
