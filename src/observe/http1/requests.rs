//! Checks the requests of one HTTP/1 connection before they are acted on.
//!
//! Bytes of the agent enter in any pieces; the first request that two readers could understand
//! differently is an error. The rules are those by which observed connections are read, so that what
//! would be lost there is refused here.

use std::time::Instant;

use super::body::Body;
use super::head::{HeadBuffer, MAX_HEAD_BYTES, Request};
use crate::observe::exchange::Listed;
use crate::observe::memory::Memory;
use crate::record::ObserverFailure;

/// Follows the requests of one connection.
#[derive(Debug)]
pub(crate) struct RequestCheck {
    head: HeadBuffer,
    body: Option<Body>,
}

impl RequestCheck {
    /// Checks a connection from its first byte.
    pub(crate) fn new() -> Self {
        Self {
            // Not out of the observers' memory: they may run out of it, and a check may not.
            head: HeadBuffer::new(&Memory::new(MAX_HEAD_BYTES)),
            body: None,
        }
    }

    /// Checks the next bytes.
    ///
    /// # Errors
    /// The request is malformed, ambiguous or too large. Nothing that is read after it has a meaning.
    pub(crate) fn read(&mut self, mut bytes: &[u8], at: Instant) -> Result<(), ObserverFailure> {
        while !bytes.is_empty() {
            if let Some(body) = &mut self.body {
                if body.read(&mut bytes, <[u8]>::len)? {
                    self.body = None;
                }
            } else if let Some(raw) = self.head.fill(&mut bytes, at)? {
                self.body = Request::parse(&raw.bytes, Listed::NOTHING)?.body;
            }
        }
        Ok(())
    }

    /// When a head began whose last byte is still to come.
    pub(crate) fn head_begun(&self) -> Option<Instant> {
        self.head.begun()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wire: &str, piece: usize) -> Result<bool, ObserverFailure> {
        let (mut check, at) = (RequestCheck::new(), Instant::now());
        for piece in wire.as_bytes().chunks(piece) {
            check.read(piece, at)?;
        }
        Ok(check.head_begun().is_none() && check.body.is_none())
    }

    #[test]
    fn requests_in_order_pass_in_any_pieces() {
        let wire = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                    POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n\
                    GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for piece in 1..wire.len() {
            assert_eq!(check(wire, piece), Ok(true), "{piece}");
        }
        assert_eq!(check("GET / HTT", 3), Ok(false));
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for wire in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x\ny\r\n",
        ] {
            for piece in [1, 7, wire.len()] {
                let read = check(wire, piece);
                assert_eq!(
                    read,
                    Err(ObserverFailure::Http1Malformed),
                    "{wire:?} {piece}"
                );
            }
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(MAX_HEAD_BYTES));
        assert_eq!(check(&long, 1000), Err(ObserverFailure::Limit));
    }
}
