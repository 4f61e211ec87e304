//! One exchange as a framing holds it while it is open.
//!
//! Heads, body pieces and ends enter; the same leave to the [`Exchange`], whose end comes exactly
//! once: by [`Live::close`], [`Live::finish`], or at the latest by drop. Never holds a byte.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::End;
use super::exchange::{Exchange, ExchangeEnd, OpenExchange, RequestHead, ResponseHead, Session};

/// An open exchange, and how far its two messages have come.
pub(super) struct Live {
    /// None when the exchange is of no interest, or has ended.
    exchange: Option<Box<dyn Exchange>>,
    /// When its last byte was read.
    last: Instant,
    /// Whether the request is complete.
    pub(super) request_done: bool,
    /// Whether the final response head has been seen.
    pub(super) responding: bool,
    /// Whether the response is complete.
    pub(super) response_done: bool,
}

impl Live {
    pub(super) fn open(open: &mut dyn OpenExchange, head: &RequestHead, begun: Instant) -> Self {
        let exchange = open.open(head, begun);
        Self {
            exchange,
            last: begun,
            request_done: false,
            responding: false,
            response_done: false,
        }
    }

    pub(super) fn request_body(&mut self, bytes: &[u8], at: Instant) {
        self.last = at;
        if let Some(exchange) = &mut self.exchange {
            exchange.request_body(bytes, at);
        }
    }

    pub(super) fn response_head(&mut self, head: &ResponseHead, at: Instant) {
        self.last = at;
        self.responding = true;
        if let Some(exchange) = &mut self.exchange {
            exchange.response_head(head, at);
        }
    }

    pub(super) fn response_body(&mut self, bytes: &[u8], at: Instant) {
        self.last = at;
        if let Some(exchange) = &mut self.exchange {
            exchange.response_body(bytes, at);
        }
    }

    /// The connection leaves HTTP with this exchange. Returns what observes the bytes that follow.
    pub(super) fn upgrade(&mut self, head: &ResponseHead, at: Instant) -> Option<Box<dyn Session>> {
        let session = self.exchange.as_mut()?.upgrade(head, at);
        self.finish(ExchangeEnd::Upgraded, at);
        session
    }

    pub(super) fn is_done(&self) -> bool {
        self.request_done && self.response_done
    }

    /// Ends the exchange as complete when its response is, else as `otherwise`: what the agent was
    /// still sending cannot change an answer that is already there.
    pub(super) fn close(mut self, otherwise: ExchangeEnd, at: Instant) {
        self.finish(
            if self.response_done {
                ExchangeEnd::Complete
            } else {
                otherwise
            },
            at,
        );
    }

    /// Ends the exchange with the given end. Everything after that is ignored.
    pub(super) fn finish(&mut self, end: ExchangeEnd, at: Instant) {
        if let Some(exchange) = self.exchange.take() {
            exchange.end(end, at);
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
