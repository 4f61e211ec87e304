//! Replays the fixtures of WebSockets, as HTTP/1.1 upgrades to them and over HTTP/2.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use loona_hpack::Encoder;

use super::*;

/// What passes, turn by turn.
type Turns = Vec<(Direction, Vec<u8>)>;

/// The exchanges over WebSockets, as they are recorded over HTTP/1.1.
fn sockets() -> Vec<(Case, Turns)> {
    let cases = folders("websocket").into_iter().map(|folder| {
        let case = Case::read(&folder);
        let turns: Vec<BTreeMap<String, usize>> =
            serde_json::from_slice(&fs::read(folder.join("turns.json")).unwrap()).unwrap();
        let (mut request, mut response) = (case.request.as_slice(), case.response.as_slice());
        let turns = turns.iter().map(|turn| {
            let (side, length) = turn.iter().next().unwrap();
            let (direction, bytes) = match side.as_str() {
                "request" => (Direction::ToProvider, &mut request),
                _ => (Direction::ToAgent, &mut response),
            };
            let (piece, rest) = bytes.split_at(*length);
            *bytes = rest;
            (direction, piece.to_vec())
        });
        let turns = turns.collect();
        (case, turns)
    });
    cases.collect()
}

/// The same turns over HTTP/2, where extended CONNECT opens the socket (RFC 8441).
fn over_http2(turns: &[(Direction, Vec<u8>)]) -> Turns {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let [(_, asked), (_, agreed), rest @ ..] = turns else {
        panic!("an upgrade and its answer")
    };
    let (mut agent, mut provider) = (Encoder::new(), Encoder::new());
    let request = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
    ];
    let path = text(asked).split(' ').nth(1).unwrap().to_owned();
    let fields = fields(asked);
    let request = request
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .chain([(":path".to_owned(), path)])
        .chain(fields);
    let response = [(":status".to_owned(), "200".to_owned())];
    let response = response.into_iter().chain(self::fields(agreed));
    let mut recording = vec![
        (Direction::ToProvider, PREFACE.to_vec()),
        (Direction::ToProvider, frame(SETTINGS, 0, 0, &[])),
        (
            Direction::ToAgent,
            frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]),
        ),
        (Direction::ToProvider, headers(&mut agent, request)),
        (Direction::ToAgent, headers(&mut provider, response)),
    ];
    // Frames of HTTP/2 have nothing to do with those of the socket.
    for (direction, bytes) in rest {
        let frames = bytes.chunks(100).map(|piece| frame(DATA, 0, 1, piece));
        recording.push((*direction, frames.collect::<Vec<_>>().concat()));
    }
    recording
}

fn text(head: &[u8]) -> &str {
    std::str::from_utf8(head).unwrap()
}

/// The fields of a head that go into one of HTTP/2.
fn fields(head: &[u8]) -> Vec<(String, String)> {
    const OF_HTTP1: [&str; 5] = [
        "connection",
        "host",
        "sec-websocket-accept",
        "sec-websocket-key",
        "upgrade",
    ];
    let fields = text(head)
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    fields
        .filter(|(name, _)| !OF_HTTP1.contains(&name.as_str()))
        .collect()
}

fn headers(
    encoder: &mut Encoder<'_>,
    fields: impl IntoIterator<Item = (String, String)>,
) -> Vec<u8> {
    const END_HEADERS: u8 = 0x4;
    let fields: Vec<_> = fields.into_iter().collect();
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    frame(HEADERS, END_HEADERS, 1, &encoder.encode(fields))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;

impl Case {
    /// What is stated when these pieces pass, and the provider's side then breaks off.
    fn replay_turns<'a>(
        &self,
        alpn: Alpn,
        pieces: impl Iterator<Item = (Direction, &'a [u8])>,
    ) -> Json {
        self.observed(alpn, |observer, at| {
            pieces.for_each(|(direction, piece)| observer.bytes(direction, piece, at));
        })
    }

    /// Requires the same calls of these turns wherever they are cut.
    fn expect_at_every_cut(&self, alpn: Alpn, turns: &[(Direction, Vec<u8>)]) {
        let (name, expected) = (&self.name, &self.expected);
        let whole = turns
            .iter()
            .map(|(direction, bytes)| (*direction, bytes.as_slice()));
        assert_eq!(self.replay_turns(alpn, whole), *expected, "{name}");
        let bytes = turns
            .iter()
            .flat_map(|(direction, bytes)| bytes.chunks(1).map(|piece| (*direction, piece)));
        assert_eq!(
            self.replay_turns(alpn, bytes),
            *expected,
            "{name} byte by byte"
        );
        for cut_turn in 0..turns.len() {
            for at in 0..turns[cut_turn].1.len() {
                let pieces = turns
                    .iter()
                    .enumerate()
                    .flat_map(|(place, (direction, bytes))| {
                        let at = if place == cut_turn { at } else { 0 };
                        let (head, tail) = bytes.split_at(at);
                        [(*direction, head), (*direction, tail)]
                    });
                assert_eq!(
                    self.replay_turns(alpn, pieces),
                    *expected,
                    "{name} turn {cut_turn} at {at}"
                );
            }
        }
    }
}

#[test]
fn every_socket_gives_its_calls_wherever_it_is_cut() {
    for (case, turns) in sockets() {
        case.expect_at_every_cut(Alpn::Http1, &turns);
    }
}

#[test]
fn every_socket_gives_the_same_calls_over_http2() {
    for (case, turns) in sockets() {
        case.expect_at_every_cut(Alpn::H2, &over_http2(&turns));
    }
}

#[test]
fn a_socket_is_idle_between_its_calls() {
    let two_calls = sockets()
        .into_iter()
        .find(|(case, _)| case.name.ends_with("/two_calls"));
    let (case, turns) = two_calls.expect("a socket with two calls");
    // The upgrade and its answer, a call and its answer, and another one.
    let expected = [false, true, false, true, false, true];
    for (alpn, turns) in [(Alpn::Http1, turns.clone()), (Alpn::H2, over_http2(&turns))] {
        case.observed(alpn, |observer, at| {
            let mut is_idle = Vec::new();
            for (direction, bytes) in &turns {
                observer.bytes(*direction, bytes, at);
                is_idle.push(observer.is_between_exchanges());
            }
            assert!(is_idle.ends_with(&expected), "{alpn:?}: {is_idle:?}");
        });
    }
}

/// Messages are compressed by the socket alone. One that is compressed in itself is read, but not
/// without end.
#[test]
fn a_message_that_is_compressed_in_itself_is_read_up_to_a_limit() {
    let (case, turns) = sockets().into_iter().next().expect("a socket");
    for (blanks, failures) in [(1 << 10, 0), (32 << 10, 1)] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        write!(encoder, "{{{:blanks$}}}", "").unwrap();
        let payload = encoder.finish().unwrap();
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let message = [&[0x82, 126], &length[..], &payload].concat();
        let facts = case.stated(Alpn::Http1, |observer, at| {
            for (direction, bytes) in &turns[..2] {
                observer.bytes(*direction, bytes, at);
            }
            observer.bytes(Direction::ToProvider, &message, at);
        });
        let is_failure = |fact: &&Fact| {
            **fact == Fact::ObserverFailed(crate::record::ObserverFailure::DecodeBudget)
        };
        assert_eq!(
            facts.iter().filter(is_failure).count(),
            failures,
            "{blanks} blanks"
        );
    }
}
