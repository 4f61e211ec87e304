//! One exchange as a framing holds it while it is open, and the session that it may become.
//!
//! Heads, body pieces and ends enter; the same leave to the [`Exchange`] or [`Session`], whose end
//! comes exactly once: by [`Live::close`], [`Live::finish`], or at the latest by drop. Never holds a
//! byte.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::coding::DecodeLimit;
use super::exchange::{Exchange, ExchangeEnd, OpenExchange, RequestHead, ResponseHead, Session};
use super::{Direction, End};

/// An open exchange, and how far its two messages have come.
pub(super) struct Live {
    /// None when nothing observes the exchange, or it has ended.
    observed: Option<Observed>,
    /// When its last byte was read.
    last: Instant,
    /// Whether the request is complete.
    pub(super) request_done: bool,
    /// Whether the final response head has been seen.
    pub(super) responding: bool,
    /// Whether the response is complete.
    pub(super) response_done: bool,
}

/// What observes the bytes.
enum Observed {
    Exchange(Box<dyn Exchange>),
    /// The exchange has left HTTP.
    Session(Box<dyn Session>),
}

impl Live {
    pub(super) fn open(open: &mut dyn OpenExchange, head: &RequestHead, begun: Instant) -> Self {
        let observed = open.open(head, begun).map(Observed::Exchange);
        Self {
            observed,
            last: begun,
            request_done: false,
            responding: false,
            response_done: false,
        }
    }

    /// As [`Exchange::read_request`].
    pub(super) fn read_request(
        &mut self,
        bytes: &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> usize {
        self.last = at;
        match &mut self.observed {
            Some(Observed::Exchange(exchange)) => exchange.read_request(bytes, at, limit),
            Some(Observed::Session(session)) => {
                session.read(Direction::ToProvider, bytes, at, limit)
            }
            None => bytes.len(),
        }
    }

    pub(super) fn response_head(&mut self, head: &ResponseHead, at: Instant) {
        self.last = at;
        self.responding = true;
        if let Some(Observed::Exchange(exchange)) = &mut self.observed {
            exchange.response_head(head, at);
        }
    }

    /// As [`Exchange::read_response`].
    pub(super) fn read_response(
        &mut self,
        bytes: &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> usize {
        self.last = at;
        match &mut self.observed {
            Some(Observed::Exchange(exchange)) => exchange.read_response(bytes, at, limit),
            Some(Observed::Session(session)) => session.read(Direction::ToAgent, bytes, at, limit),
            None => bytes.len(),
        }
    }

    /// The connection or stream leaves HTTP with this exchange, which ends: the bytes of both bodies
    /// are now those of a session, if anything observes it.
    pub(super) fn upgrade(&mut self, head: &ResponseHead, at: Instant) {
        if let Some(Observed::Exchange(exchange)) = &mut self.observed {
            let session = exchange.upgrade(head, at);
            self.finish(ExchangeEnd::Upgraded, at);
            self.observed = session.map(Observed::Session);
        }
    }

    /// Whether it is a session in which nothing is under way.
    pub(super) fn is_idle_session(&self) -> bool {
        matches!(&self.observed, Some(Observed::Session(session)) if session.is_idle())
    }

    pub(super) fn is_done(&self) -> bool {
        self.request_done && self.response_done
    }

    /// Ends the exchange as complete when its response is, else as `otherwise`: what the agent was
    /// still sending cannot change an answer that is already there. A session always ends as
    /// `otherwise`: only its own messages say that it is complete.
    pub(super) fn close(mut self, otherwise: ExchangeEnd, at: Instant) {
        let is_session = matches!(self.observed, Some(Observed::Session(_)));
        self.finish(
            if self.response_done && !is_session {
                ExchangeEnd::Complete
            } else {
                otherwise
            },
            at,
        );
    }

    /// Ends the exchange or session with the given end. Everything after that is ignored.
    pub(super) fn finish(&mut self, end: ExchangeEnd, at: Instant) {
        match self.observed.take() {
            Some(Observed::Exchange(exchange)) => exchange.end(end, at),
            Some(Observed::Session(session)) => session.end(end, at),
            None => {}
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let last = self.last;
        // Several may be dropped while one of them unwinds, and a panic inside a panic aborts the
        // process.
        if let Err(payload) =
            catch_unwind(AssertUnwindSafe(|| self.finish(ExchangeEnd::Lost, last)))
        {
            std::mem::forget(payload);
        }
    }
}

/// How an exchange without a complete response ends with its connection. When the agent had sent
/// its last byte before (`agent_left`), the provider only followed it: an agent that stops reading
/// closes its connection, in order or not.
pub(super) fn cut_off(end: End, agent_left: bool) -> ExchangeEnd {
    match end {
        End::AgentGone => ExchangeEnd::AgentGone,
        End::Closed | End::ProviderGone if agent_left => ExchangeEnd::AgentGone,
        End::Closed | End::ProviderGone => ExchangeEnd::Truncated,
        End::Shutdown | End::TimedOut(_) => ExchangeEnd::Shutdown,
    }
}
