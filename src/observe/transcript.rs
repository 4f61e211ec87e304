//! Test kit: writes down what a framing makes of a recording, and replays recordings cut at any
//! place.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::coding::DecodeLimit;
use super::exchange::{
    Exchange, ExchangeEnd, Listed, OpenExchange, RequestHead, ResponseHead, Session,
};
use super::{Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};

/// Bytes of a connection in the order in which they passed.
pub(super) type Recording = Vec<(Direction, Vec<u8>)>;

/// One exchange as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) request: RequestHead,
    pub(super) request_body: Vec<u8>,
    pub(super) response: Option<ResponseHead>,
    pub(super) response_body: Vec<u8>,
    pub(super) ends: Vec<ExchangeEnd>,
    /// What followed, where it left HTTP for [`OBSERVED_PROTOCOL`].
    pub(super) session: Option<SeenSession>,
}

/// A session as it was observed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SeenSession {
    sent: Vec<u8>,
    received: Vec<u8>,
    ends: Vec<ExchangeEnd>,
}

impl Seen {
    /// Method, path, request body, status, response body and end in one line, and the same of the
    /// session that followed.
    pub(super) fn line(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = self
            .response
            .as_ref()
            .map_or("-".to_owned(), |head| head.status.to_string());
        let (request, response) = (text(&self.request_body), text(&self.response_body));
        let session = self.session.as_ref().map_or(String::new(), |session| {
            let (sent, received) = (text(&session.sent), text(&session.received));
            format!(", then [{sent}] [{received}] {:?}", session.ends)
        });
        format!(
            "{} {} [{request}] {status} [{response}] {:?}{session}",
            self.request.method, self.request.path, self.ends
        )
    }
}

/// All that was observed of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Transcript {
    pages: Arc<Mutex<Pages>>,
    /// Whether bodies are read byte by byte, with a pause after each.
    pauses: bool,
}

#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub(super) struct Pages {
    pub(super) exchanges: Vec<Seen>,
    pub(super) failures: Vec<ObserverFailure>,
    /// When the first byte of each request was read.
    pub(super) begun: Vec<Instant>,
}

impl Transcript {
    pub(super) fn opener(&self) -> Box<dyn OpenExchange> {
        Box::new(self.clone())
    }

    pub(super) fn record(&self) -> Arc<dyn Record> {
        Arc::new(self.clone())
    }

    pub(super) fn pages(&self) -> Pages {
        self.pages.lock().unwrap().clone()
    }

    /// The bytes of a body that are read at once.
    fn taken<'a>(&self, bytes: &'a [u8], limit: &mut DecodeLimit) -> &'a [u8] {
        if !self.pauses {
            return bytes;
        }
        let count = usize::from(!limit.is_reached()).min(bytes.len());
        limit.reach();
        &bytes[..count]
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.pages().exchanges.iter().map(Seen::line).collect()
    }
}

impl Record for Transcript {
    fn record(&self, fact: Fact) {
        let Fact::ObserverFailed(failure) = fact else {
            panic!("a framing states {fact:?}")
        };
        self.pages.lock().unwrap().failures.push(failure);
    }
}

impl OpenExchange for Transcript {
    fn listed(&self) -> Listed {
        Listed {
            fields: &["upgrade"],
            endings: &[],
            reduced: &[],
            query: &["alt=sse"],
        }
    }

    fn open(&mut self, head: &RequestHead, at: Instant) -> Option<Box<dyn Exchange>> {
        let mut pages = self.pages.lock().unwrap();
        pages.begun.push(at);
        pages.exchanges.push(Seen {
            request: head.clone(),
            request_body: Vec::new(),
            response: None,
            response_body: Vec::new(),
            ends: Vec::new(),
            session: None,
        });
        Some(Box::new(Writer {
            transcript: self.clone(),
            page: pages.exchanges.len() - 1,
        }))
    }
}

struct Writer {
    transcript: Transcript,
    page: usize,
}

impl Writer {
    fn write(&self, write: impl FnOnce(&mut Seen)) {
        write(&mut self.transcript.pages.lock().unwrap().exchanges[self.page]);
    }
}

impl Exchange for Writer {
    fn read_request(&mut self, bytes: &[u8], _: Instant, limit: &mut DecodeLimit) -> usize {
        let read = self.transcript.taken(bytes, limit);
        self.write(|seen| seen.request_body.extend_from_slice(read));
        read.len()
    }

    fn response_head(&mut self, head: &ResponseHead, _: Instant) {
        self.write(|seen| assert_eq!(seen.response.replace(head.clone()), None, "two final heads"));
    }

    fn read_response(&mut self, bytes: &[u8], _: Instant, limit: &mut DecodeLimit) -> usize {
        let read = self.transcript.taken(bytes, limit);
        self.write(|seen| {
            assert!(seen.response.is_some(), "a body before its head");
            seen.response_body.extend_from_slice(read);
        });
        read.len()
    }

    fn upgrade(&mut self, _: &ResponseHead, _: Instant) -> Option<Box<dyn Session>> {
        let mut is_observed = false;
        self.write(|seen| {
            is_observed = seen.request.fields.get("upgrade") == Some(OBSERVED_PROTOCOL);
            seen.session = is_observed.then(SeenSession::default);
        });
        let (transcript, page) = (self.transcript.clone(), self.page);
        is_observed.then(|| Box::new(SessionWriter(Self { transcript, page })) as Box<dyn Session>)
    }

    fn end(self: Box<Self>, end: ExchangeEnd, _: Instant) {
        self.write(|seen| seen.ends.push(end));
    }
}

/// The protocol whose sessions are observed.
pub(super) const OBSERVED_PROTOCOL: &str = "observed";

struct SessionWriter(Writer);

impl SessionWriter {
    fn write(&self, write: impl FnOnce(&mut SeenSession)) {
        self.0
            .write(|seen| write(seen.session.as_mut().expect("a session")));
    }
}

impl Session for SessionWriter {
    fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        _: Instant,
        limit: &mut DecodeLimit,
    ) -> usize {
        let read = self.0.transcript.taken(bytes, limit);
        self.write(|session| match direction {
            Direction::ToProvider => session.sent.extend_from_slice(read),
            Direction::ToAgent => session.received.extend_from_slice(read),
        });
        read.len()
    }

    /// As soon as the provider has sent as many bytes as the agent.
    fn is_idle(&self) -> bool {
        let mut is_idle = false;
        self.write(|session| is_idle = session.sent.len() == session.received.len());
        is_idle
    }

    fn end(self: Box<Self>, end: ExchangeEnd, _: Instant) {
        self.write(|session| session.ends.push(end));
    }
}

/// Replays a recording, with a later instant for each piece, and ends the connection.
pub(super) fn replay(observer: &mut dyn Observer, recording: &[(Direction, Vec<u8>)], end: End) {
    let mut at = Instant::now();
    for (direction, bytes) in recording {
        at += Duration::from_millis(1);
        observer.bytes(*direction, bytes, at);
    }
    observer.end(end, at);
}

/// The recording with every piece cut at the given distances, over and over.
pub(super) fn cut(recording: &[(Direction, Vec<u8>)], distances: &[usize]) -> Recording {
    let mut distances = distances.iter().copied().cycle();
    let mut pieces = Recording::new();
    for (direction, bytes) in recording {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) =
                rest.split_at(distances.next().unwrap_or(rest.len()).clamp(1, rest.len()));
            pieces.push((*direction, piece.to_vec()));
            rest = after;
        }
    }
    pieces
}

/// The recording with one piece more, cut at byte `place` of all.
pub(super) fn cut_once(recording: &[(Direction, Vec<u8>)], place: usize) -> Recording {
    let mut pieces = Recording::new();
    let mut passed = 0;
    for (direction, bytes) in recording {
        let (head, tail) = bytes.split_at(place.saturating_sub(passed).min(bytes.len()));
        passed += bytes.len();
        pieces.extend(
            [head, tail]
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .map(|p| (*direction, p.to_vec())),
        );
    }
    pieces
}

/// Requires that every cut of a recording is observed in the same way as the whole, and so is one
/// of which bodies are read with pauses.
pub(super) fn assert_cuts_change_nothing<O: Observer>(
    open: impl Fn(&Transcript) -> O,
    recording: &[(Direction, Vec<u8>)],
    end: End,
) {
    let observe = |pieces: &[(Direction, Vec<u8>)], pauses: bool| {
        let transcript = Transcript {
            pauses,
            ..Transcript::default()
        };
        replay(&mut open(&transcript), pieces, end);
        let pages = transcript.pages();
        (pages.exchanges, pages.failures)
    };
    let whole = observe(recording, false);
    assert_eq!(observe(recording, true), whole, "with pauses");
    assert_eq!(observe(&cut(recording, &[1]), false), whole, "byte by byte");
    assert_eq!(
        observe(&cut(recording, &[7]), true),
        whole,
        "in pieces, with pauses"
    );
    let length: usize = recording.iter().map(|(_, bytes)| bytes.len()).sum();
    for place in 1..length {
        assert_eq!(
            observe(&cut_once(recording, place), false),
            whole,
            "cut at {place}"
        );
    }
}

/// Any bytes as a recording: a control byte before each piece says its direction and length.
pub(super) fn scatter(mut bytes: &[u8]) -> Recording {
    let mut pieces = Recording::new();
    while let Some((control, rest)) = bytes.split_first() {
        let direction = if control & 1 == 0 {
            Direction::ToProvider
        } else {
            Direction::ToAgent
        };
        let (piece, after) = rest.split_at(usize::from(control >> 1).min(rest.len()));
        pieces.push((direction, piece.to_vec()));
        bytes = after;
    }
    pieces
}
