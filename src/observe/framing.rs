//! Which protocol a connection speaks.
//!
//! The first bytes of the agent enter; from then on everything passes to the framing that reads
//! them. Bytes of no known protocol are counted once and ignored. Keeps at most as many bytes as
//! the HTTP/2 preface has.

use std::sync::Arc;
use std::time::Instant;

use super::exchange::OpenExchange;
use super::http1::Http1;
use super::http2::{Http2, PREFACE};
use super::memory::Memory;
use super::{Alpn, Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};

/// Reads one connection of either protocol.
pub(crate) struct Framing {
    state: State,
    record: Arc<dyn Record>,
    memory: Memory,
}

enum State {
    /// The first bytes are still those of the preface.
    Sniffing(Sniff),
    /// The protocol is known.
    Reading(Box<dyn Observer>),
    /// The protocol is not one that Gravimeter reads.
    Unknown,
}

struct Sniff {
    open: Box<dyn OpenExchange>,
    /// How many bytes of the preface have been seen, and when the first of them was.
    seen: usize,
    begun: Option<Instant>,
}

impl Framing {
    /// Reads a connection from its first byte: HTTP/2 when it was negotiated or the agent sends its
    /// preface (prior knowledge), else HTTP/1 when the agent begins like a request. Requests go to
    /// `open`; lost figures to `record`; heads and tables are kept out of `memory`.
    #[must_use]
    pub(crate) fn new(
        alpn: Alpn,
        open: Box<dyn OpenExchange>,
        record: Arc<dyn Record>,
        memory: Memory,
    ) -> Self {
        let state = match alpn {
            Alpn::H2 => State::Reading(Box::new(Http2::new(
                open,
                Arc::clone(&record),
                memory.clone(),
            ))),
            Alpn::Http1 | Alpn::Unknown => State::Sniffing(Sniff {
                open,
                seen: 0,
                begun: None,
            }),
        };
        Self {
            state,
            record,
            memory,
        }
    }

    fn sniff(
        &mut self,
        mut sniff: Sniff,
        direction: Direction,
        bytes: &[u8],
        at: Instant,
    ) -> (State, usize) {
        let expected = PREFACE.get(sniff.seen..).unwrap_or_default();
        let matching = expected
            .iter()
            .zip(bytes)
            .take_while(|(expected, byte)| expected == byte)
            .count();
        let is_preface = matching == expected.len();
        let is_http1 =
            sniff.seen > 0 || bytes.first().is_some_and(|first| is_request_start(*first));
        let begun = *sniff.begun.get_or_insert(at);
        let (record, memory) = (Arc::clone(&self.record), self.memory.clone());
        let mut framing: Box<dyn Observer> = match direction {
            Direction::ToProvider if is_preface => Box::new(Http2::new(sniff.open, record, memory)),
            Direction::ToProvider if matching == bytes.len() => {
                sniff.seen += matching;
                return (State::Sniffing(sniff), bytes.len());
            }
            Direction::ToProvider if is_http1 => Box::new(Http1::new(sniff.open, record, memory)),
            Direction::ToProvider | Direction::ToAgent => {
                record.record(Fact::ObserverFailed(ObserverFailure::UnknownProtocol));
                return (State::Unknown, bytes.len());
            }
        };
        framing.bytes(
            direction,
            PREFACE.get(..sniff.seen).unwrap_or_default(),
            begun,
        );
        let read = framing.read(direction, bytes, at);
        (State::Reading(framing), read)
    }
}

impl Observer for Framing {
    fn read(&mut self, direction: Direction, bytes: &[u8], at: Instant) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        if let State::Reading(framing) = &mut self.state {
            return framing.read(direction, bytes, at);
        }
        let State::Sniffing(sniff) = std::mem::replace(&mut self.state, State::Unknown) else {
            return bytes.len();
        };
        let (state, read) = self.sniff(sniff, direction, bytes, at);
        self.state = state;
        read
    }

    fn half_closed(&mut self, direction: Direction, at: Instant) {
        if let State::Reading(framing) = &mut self.state {
            framing.half_closed(direction, at);
        }
    }

    /// False for an unknown protocol: what is in progress there is unknown.
    fn is_between_exchanges(&self) -> bool {
        match &self.state {
            State::Sniffing(sniff) => sniff.begun.is_none(),
            State::Reading(framing) => framing.is_between_exchanges(),
            State::Unknown => false,
        }
    }

    fn end(&mut self, end: End, at: Instant) {
        if let State::Reading(framing) = &mut self.state {
            framing.end(end, at);
        }
    }
}

/// Whether an HTTP/1 request can begin so: with a letter of its method, or the empty line that some
/// agents send before it.
fn is_request_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'\r' || byte == b'\n'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observe::coding::DecodeLimit;
    use crate::observe::exchange::{Exchange, ExchangeEnd, Listed, RequestHead, ResponseHead};
    use crate::observe::fuzz::fuzz_framing;
    use crate::observe::guard::Guarded;
    use crate::observe::transcript::{Recording, Transcript, assert_cuts_change_nothing, replay};

    const HTTP1: &[u8] = b"PUT /a HTTP/1.1\r\n\r\n";

    fn http2() -> Vec<u8> {
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        [
            PREFACE,
            settings,
            b"\0\0\x06\x01\x05\0\0\0\x01\x82\x04\x02/a\x87",
        ]
        .concat()
    }

    fn observe(alpn: Alpn, recording: &Recording) -> (Vec<String>, Vec<ObserverFailure>) {
        let transcript = Transcript::default();
        let open = |transcript: &Transcript| {
            Framing::new(
                alpn,
                transcript.opener(),
                transcript.record(),
                Memory::default(),
            )
        };
        replay(&mut open(&transcript), recording, End::AgentGone);
        assert_cuts_change_nothing(open, recording, End::AgentGone);
        (transcript.lines(), transcript.pages().failures)
    }

    #[test]
    fn the_first_bytes_of_the_agent_decide() {
        let unknown = ObserverFailure::UnknownProtocol;
        let put = Some("PUT /a [] - [] [AgentGone]");
        let get = Some("GET /a [] - [] [AgentGone]");
        #[expect(clippy::type_complexity, reason = "a table of a test")]
        let table: [(Alpn, &[u8], Option<&str>, Option<ObserverFailure>); 10] = [
            (Alpn::Http1, HTTP1, put, None),
            (Alpn::Unknown, HTTP1, put, None),
            (Alpn::Unknown, b"\r\nGET /a HTTP/1.1\r\n\r\n", get, None),
            (
                Alpn::Unknown,
                b"PRI /a HTTP/1.1\r\n\r\n",
                Some("PRI /a [] - [] [AgentGone]"),
                None,
            ),
            (Alpn::H2, &http2(), get, None),
            (Alpn::Http1, &http2(), get, None),
            (Alpn::Unknown, &http2(), get, None),
            (
                Alpn::H2,
                b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
                None,
                Some(ObserverFailure::Http2Malformed),
            ),
            (Alpn::Unknown, b"\x16\x03\x01\0\0", None, Some(unknown)),
            (Alpn::Unknown, b"PRI * HTTP/2.0", None, None),
        ];
        for (alpn, bytes, line, failure) in table {
            let seen = observe(alpn, &vec![(Direction::ToProvider, bytes.to_vec())]);
            assert_eq!(
                seen,
                (
                    Vec::from_iter(line.map(str::to_owned)),
                    Vec::from_iter(failure)
                ),
                "{alpn:?} {bytes:?}"
            );
        }
        let greeting = vec![
            (Direction::ToAgent, b"220 hello\r\n".to_vec()),
            (Direction::ToProvider, HTTP1.to_vec()),
        ];
        assert_eq!(observe(Alpn::Unknown, &greeting), (vec![], vec![unknown]));
    }

    #[test]
    fn a_connection_is_between_exchanges_until_its_first_byte() {
        let transcript = Transcript::default();
        let mut framing = Framing::new(
            Alpn::Unknown,
            transcript.opener(),
            transcript.record(),
            Memory::default(),
        );
        assert!(framing.is_between_exchanges());
        framing.bytes(Direction::ToProvider, b"", Instant::now());
        assert!(framing.is_between_exchanges());
        framing.bytes(Direction::ToProvider, b"P", Instant::now());
        assert!(!framing.is_between_exchanges());
        framing.bytes(Direction::ToProvider, b"\0", Instant::now());
        assert!(!framing.is_between_exchanges());
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..500), greet in any::<bool>()) {
            if greet {
                bytes.splice(0..0, [&[48][..], PREFACE, &[18], b"\0\0\0\x04\0\0\0\0\0"].concat());
            }
            for alpn in [Alpn::H2, Alpn::Http1, Alpn::Unknown] {
                fuzz_framing(alpn, &bytes);
            }
        }
    }

    /// An exchange that panics when its response begins, and again at its end.
    struct Bomb;

    impl OpenExchange for Bomb {
        fn open(&mut self, _: &RequestHead, _: Instant) -> Option<Box<dyn Exchange>> {
            Some(Box::new(Self))
        }

        fn listed(&self) -> Listed {
            Listed::default()
        }
    }

    impl Exchange for Bomb {
        fn read_request(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
            bytes.len()
        }

        fn response_head(&mut self, _: &ResponseHead, _: Instant) {
            panic!("an injected panic");
        }

        fn read_response(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
            bytes.len()
        }

        fn end(self: Box<Self>, _: ExchangeEnd, _: Instant) {
            panic!("an injected panic");
        }
    }

    #[test]
    fn a_panic_in_an_exchange_stops_at_the_wall() {
        let transcript = Transcript::default();
        let framing = Framing::new(
            Alpn::Http1,
            Box::new(Bomb),
            transcript.record(),
            Memory::default(),
        );
        let mut guarded = Guarded::new(Box::new(framing), transcript.record());
        let requests = [HTTP1, HTTP1].concat();
        guarded.bytes(Direction::ToProvider, &requests, Instant::now());
        guarded.bytes(
            Direction::ToAgent,
            b"HTTP/1.1 200 OK\r\n\r\n",
            Instant::now(),
        );
        guarded.bytes(Direction::ToAgent, b"more", Instant::now());
        guarded.end(End::Closed, Instant::now());
        assert_eq!(transcript.pages().failures, [ObserverFailure::Panic]);
    }
}
