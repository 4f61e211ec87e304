//! HTTP/1 heads: found in the stream, parsed by `httparse`, and checked for what follows them (RFC
//! 9112 section 6.3).
//!
//! Bytes of the wire enter in any pieces; a typed head with the framing of its body leaves. Keeps
//! at most one head, and looks at each byte once before it is complete.

use std::time::Instant;

use httparse::{EMPTY_HEADER, Header, Status};

use super::body::Body;
use crate::observe::exchange::{Listed, RequestHead, ResponseHead};
use crate::observe::head;
use crate::observe::memory::{Memory, Share};
use crate::record::ObserverFailure;

/// Collects one head.
#[derive(Debug)]
pub(super) struct HeadBuffer {
    bytes: Vec<u8>,
    share: Share,
    /// Where the line begins that is being read.
    line: usize,
    begun: Option<Instant>,
}

/// The bytes of a complete head, and when the first of them was read.
#[derive(Debug)]
pub(super) struct RawHead {
    pub(super) bytes: Vec<u8>,
    pub(super) begun: Instant,
}

impl HeadBuffer {
    /// A buffer before the first byte of a head, which is kept out of `memory`.
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            bytes: Vec::new(),
            share: memory.share(),
            line: 0,
            begun: None,
        }
    }

    /// Takes the bytes of a head from the front of `input`; the head when it is complete. Empty
    /// lines before it are dropped (RFC 9112 section 2.2).
    pub(super) fn fill(
        &mut self,
        input: &mut &[u8],
        at: Instant,
    ) -> Result<Option<RawHead>, ObserverFailure> {
        while !input.is_empty() {
            let count = memchr::memchr(b'\n', input).map_or(input.len(), |lf| lf + 1);
            let (piece, rest) = input.split_at(count);
            *input = rest;
            if self.bytes.len() + piece.len() > MAX_HEAD_BYTES {
                return Err(ObserverFailure::Limit);
            }
            self.share.cover(self.bytes.len() + piece.len())?;
            self.bytes.extend_from_slice(piece);
            let begun = *self.begun.get_or_insert(at);
            match self.bytes.get(self.line..) {
                Some(b"\n" | b"\r\n") if self.line == 0 => _ = self.take(),
                Some(b"\n" | b"\r\n") => {
                    return Ok(Some(RawHead {
                        bytes: self.take(),
                        begun,
                    }));
                }
                Some([.., b'\n']) => self.line = self.bytes.len(),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Takes the bytes out, and goes back to before the first one.
    fn take(&mut self) -> Vec<u8> {
        (self.line, self.begun) = (0, None);
        self.share.release();
        std::mem::take(&mut self.bytes)
    }

    /// When the first byte of the head was read; `None` before it.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Whether no byte of a head is held.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What a request asks for, as far as its response depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// A 2xx answer turns the connection into a tunnel.
    Connect,
    /// The response has no body, whatever its head says.
    Head,
    /// Any other.
    Other,
}

/// A request head and what follows it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) method: Method,
    /// None when the request has no body.
    pub(super) body: Option<Body>,
}

impl Request {
    /// Parses a complete request head.
    pub(super) fn parse(raw: &[u8], listed: Listed) -> Result<Self, ObserverFailure> {
        let mut headers = header_room(raw);
        let mut request = httparse::Request::new(&mut headers);
        require_complete(request.parse(raw), raw)?;
        let method = request.method.unwrap_or_default();
        let mut head = head::request(
            method.as_bytes(),
            request.path.unwrap_or_default().as_bytes(),
            listed,
        );
        for header in &*request.headers {
            head::take_field(
                &mut head.fields,
                header.name.as_bytes(),
                header.value,
                listed,
            );
        }
        let body = match Transfer::of(request.headers, request.version)? {
            Transfer::Chunked => Some(Body::CHUNKED),
            Transfer::Length(0) | Transfer::Unstated => None,
            Transfer::Length(length) => Some(Body::Length(length)),
        };
        let method = match method {
            "CONNECT" => Method::Connect,
            "HEAD" => Method::Head,
            _ => Method::Other,
        };
        Ok(Self { head, method, body })
    }
}

/// A response head and what follows it.
#[derive(Debug)]
pub(super) enum Response {
    /// A final one. No body when it is None.
    Final(ResponseHead, Option<Body>),
    /// 1xx other than 101: the final head is still to come.
    Interim,
    /// 101: no HTTP follows.
    SwitchingProtocols(ResponseHead),
    /// A success to CONNECT: no HTTP follows.
    Tunnel(ResponseHead),
}

impl Response {
    /// Parses a complete response head; `asked` is the method of the request that it answers.
    pub(super) fn parse(
        raw: &[u8],
        asked: Method,
        listed: Listed,
    ) -> Result<Self, ObserverFailure> {
        let mut headers = header_room(raw);
        let mut response = httparse::Response::new(&mut headers);
        require_complete(response.parse(raw), raw)?;
        let status = response.code.unwrap_or_default();
        let mut head = ResponseHead {
            status,
            fields: Default::default(),
        };
        for header in &*response.headers {
            head::take_field(
                &mut head.fields,
                header.name.as_bytes(),
                header.value,
                listed,
            );
        }
        match (status, asked) {
            (101, _) => return Ok(Self::SwitchingProtocols(head)),
            (100..=199, _) => return Ok(Self::Interim),
            (200..=299, Method::Connect) => return Ok(Self::Tunnel(head)),
            (200..=599, _) => {}
            _ => return Err(ObserverFailure::Http1Malformed),
        }
        let body = match Transfer::of(response.headers, response.version)? {
            _ if asked == Method::Head || status == 204 || status == 304 => None,
            Transfer::Length(0) => None,
            Transfer::Chunked => Some(Body::CHUNKED),
            Transfer::Length(length) => Some(Body::Length(length)),
            Transfer::Unstated => Some(Body::UntilClose),
        };
        Ok(Self::Final(head, body))
    }
}

/// What a head says of the length of its body.
enum Transfer {
    Chunked,
    Length(u64),
    Unstated,
}

impl Transfer {
    /// Reads the fields that decide. Whatever two readers could understand differently is refused:
    /// both fields at once, lengths that differ, a coding other than `chunked` alone, any coding in
    /// HTTP/1.0 (RFC 9112 sections 6.1 and 6.3).
    fn of(headers: &[Header<'_>], version: Option<u8>) -> Result<Self, ObserverFailure> {
        let named = |name: &'static str| {
            headers
                .iter()
                .filter(move |header| header.name.eq_ignore_ascii_case(name))
        };
        let mut codings = named("transfer-encoding").map(|header| header.value.trim_ascii());
        let mut lengths =
            named("content-length").flat_map(|header| header.value.split(|b| *b == b','));
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Self::Unstated),
            (None, Some(first)) => {
                let length =
                    head::decimal(first.trim_ascii()).ok_or(ObserverFailure::Http1Malformed)?;
                let agree = lengths.all(|other| head::decimal(other.trim_ascii()) == Some(length));
                if agree {
                    Ok(Self::Length(length))
                } else {
                    Err(ObserverFailure::Http1Malformed)
                }
            }
            (Some(coding), None) => {
                let alone = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
                if alone && version == Some(1) {
                    Ok(Self::Chunked)
                } else {
                    Err(ObserverFailure::Http1Malformed)
                }
            }
            (Some(_), Some(_)) => Err(ObserverFailure::Http1Malformed),
        }
    }
}

/// One slot for each line, which is enough.
fn header_room(raw: &[u8]) -> Vec<Header<'_>> {
    let lines = memchr::memchr_iter(b'\n', raw).count();
    vec![EMPTY_HEADER; lines.min(MAX_HEADERS)]
}

fn require_complete(parsed: httparse::Result<usize>, raw: &[u8]) -> Result<(), ObserverFailure> {
    match parsed {
        Ok(Status::Complete(length)) if length == raw.len() => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(ObserverFailure::Limit),
        _ => Err(ObserverFailure::Http1Malformed),
    }
}

/// Servers refuse heads beyond 8 to 64 KiB; a longer one is an attack on programs that keep it.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Servers refuse more than 100 to 1000 fields; 65536 bytes of `a:` lines would cost 700 kB of
/// slots.
const MAX_HEADERS: usize = 1024;
