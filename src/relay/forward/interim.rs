//! Interim responses of HTTP/1.1 (RFC 9110 section 15.2) on their way to the agent.
//!
//! hyper hands a provider's interim responses to a callback, and its server sends none but
//! `100 Continue`. So they are written into the agent's stream, between two writes of hyper's.

use std::fmt::Write as _;
use std::task::Waker;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use super::fields;

/// The interim responses that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Interim {
    waiting: BytesMut,
    /// hyper has written all that it has: what it writes next begins something new.
    is_flushed: bool,
    /// The task of the connection.
    task: Option<Waker>,
    /// More were added than may wait.
    is_overfull: bool,
}

impl Interim {
    /// Adds one. Where too many wait already, this one is lost and the connection must end.
    pub(super) fn add(&mut self, status: StatusCode, headers: &HeaderMap) {
        let head = head(status, headers);
        if self.waiting.len() + head.len() > MAX_WAITING {
            self.is_overfull = true;
        } else {
            self.waiting.extend_from_slice(&head);
        }
        self.wake();
    }

    /// The agent does not read as many as the provider sends.
    pub(super) fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    /// Whether none waits. Otherwise `task` is woken when that changes.
    pub(super) fn is_empty(&mut self, task: &Waker) -> bool {
        if !self.waiting.is_empty() {
            self.register(task);
        }
        self.waiting.is_empty()
    }

    /// What is to be written now.
    pub(super) fn next(&self) -> Option<&[u8]> {
        (self.is_flushed && !self.waiting.is_empty()).then_some(&self.waiting)
    }

    /// So many bytes of it were written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.waiting.advance(count.min(self.waiting.len()));
        if self.waiting.is_empty() {
            self.wake();
        }
    }

    /// hyper has written something, which may go on.
    pub(super) fn hyper_wrote(&mut self) {
        self.is_flushed = false;
    }

    /// hyper has written all that it has; `task` is woken when there is something to add.
    pub(super) fn hyper_flushed(&mut self, task: &Waker) {
        self.is_flushed = true;
        self.register(task);
    }

    fn register(&mut self, task: &Waker) {
        match &mut self.task {
            Some(known) => known.clone_from(task),
            None => self.task = Some(task.clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

/// The response as it is written. Fields of the provider's connection are left out, and those that
/// would give it a body, which it cannot have.
fn head(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let mut headers = headers.clone();
    fields::of_interim(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    let mut head = BytesMut::new();
    // Memory takes whatever is written to it.
    let _ = write!(
        head,
        "HTTP/1.1 {} {}\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or_default()
    );
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.freeze()
}

/// Most bytes that wait: what hyper reads in two turns. Only an agent that reads nothing lets more
/// than one wait, and only a provider that floods it sends so many.
const MAX_WAITING: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn hints() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("link", "</a>"),
            ("link", "</b>"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn an_interim_response_has_the_fields_of_the_message_alone() {
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";
        assert_eq!(head(StatusCode::EARLY_HINTS, &hints()), expected);
        let unknown = StatusCode::from_u16(199).unwrap();
        assert_eq!(head(unknown, &HeaderMap::new()), "HTTP/1.1 199 \r\n\r\n");
    }

    #[test]
    fn it_waits_for_the_end_of_what_is_being_written() {
        let (mut interim, task) = (Interim::default(), Waker::noop());
        interim.hyper_wrote();
        interim.add(StatusCode::PROCESSING, &HeaderMap::new());
        assert_eq!(interim.next(), None, "it would be in the middle");
        interim.hyper_flushed(task);
        let all = b"HTTP/1.1 102 Processing\r\n\r\n";
        assert_eq!(interim.next(), Some(&all[..]));
        interim.wrote(3);
        assert_eq!(interim.next(), Some(&all[3..]));
        assert!(!interim.is_empty(task));
        interim.wrote(all.len() - 3);
        assert!(interim.is_empty(task) && interim.next().is_none());
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut interim = Interim::default();
        while !interim.is_overfull() {
            interim.add(StatusCode::EARLY_HINTS, &hints());
        }
        assert!(interim.waiting.len() <= MAX_WAITING);
        assert!(interim.waiting.len() > MAX_WAITING - 100);
    }
}
