//! Entry for fuzzers: any bytes, as what an agent and a provider say to each other.
//!
//! Unlike in the program, a panic is not caught here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::observer::Exchanges;
use crate::observe::framing::Framing;
use crate::observe::memory::Memory;
use crate::observe::{Alpn, Connection, Direction, End, Observer as _};
use crate::record::{ConnectionCaller, Fact, Host, Record};

/// The first byte chooses the host and the length of pieces, the next two say how many of the
/// others are the agent's. Panics when a call that has begun does not end exactly once, or when the
/// cuts make a difference.
pub fn fuzz_dialects(bytes: &[u8]) {
    let [choice, high, low, wire @ ..] = bytes else {
        return;
    };
    let (request, response) =
        wire.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(wire.len()));
    let hosts = [
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
    let Some(host) = hosts
        .iter()
        .cycle()
        .nth(usize::from(*choice))
        .and_then(|host| Host::parse(host).ok())
    else {
        return;
    };
    let whole = calls(&host, request, response, wire.len().max(1));
    let size = usize::from(choice >> 2).max(1);
    assert_eq!(
        whole,
        calls(&host, request, response, size),
        "in pieces of {size}"
    );
}

/// Every call as it is recorded, except for its identity and its times.
fn calls(host: &Host, request: &[u8], response: &[u8], size: usize) -> Vec<String> {
    let facts = Arc::new(Facts::default());
    let record = || Arc::clone(&facts) as Arc<dyn Record>;
    let opened = Instant::now();
    let opened_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let connection = Connection {
        host: host.clone(),
        alpn: Alpn::Http1,
        opened,
        opened_at,
        port: 443,
        setup: None,
        caller: ConnectionCaller::default(),
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
    request
        .chunks(size)
        .for_each(|piece| framing.bytes(Direction::ToProvider, piece, opened));
    response
        .chunks(size)
        .for_each(|piece| framing.bytes(Direction::ToAgent, piece, opened));
    framing.end(End::ProviderGone, opened);
    drop(framing);
    let mut facts = facts.0.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::CallStarted(_)))
        .count();
    let calls: Vec<_> = facts
        .drain(..)
        .filter_map(|fact| match fact {
            Fact::Call(call) => Some(format!(
                "{:?} {:?} {:?} {:?}",
                call.outcome, call.status, call.usage, call.quality
            )),
            _ => None,
        })
        .collect();
    assert_eq!(begun, calls.len(), "calls begun and ended");
    calls
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
