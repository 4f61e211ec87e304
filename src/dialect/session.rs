//! Calls over a WebSocket: any number of calls, one after another, on one connection or on one stream
//! of HTTP/2.
//!
//! A message of the agent that asks for a call begins one. What the provider sends from then on is
//! its answer, up to the message that ends it. Other messages are ignored.

use std::sync::Arc;
use std::time::Instant;

use super::CallHead;
use super::call::{EXCHANGE_BYTES, LiveCall};
use super::limits;
use super::request::ReadRequestBody;
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead, Session};
use crate::observe::memory::Memory;
use crate::observe::websocket::{Messages, WebSocket};
use crate::observe::{Connection, Direction};
use crate::record::{AppliedRules, Fact, ObserverFailure, Record};

/// The header field in which the provider says how messages are compressed.
pub(super) const EXTENSIONS: &str = "sec-websocket-extensions";

/// The header field by which an agent asks for another protocol; `:protocol` of HTTP/2 is read as
/// one.
pub(super) const UPGRADE: &str = "upgrade";

/// Whether a request is to open a WebSocket: a GET, or over HTTP/2 an extended CONNECT (RFC 8441).
pub(super) fn opens_socket(head: &RequestHead) -> bool {
    let protocol = head.fields.get(UPGRADE);
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
        && matches!(head.method.as_str(), "CONNECT" | "GET")
}

/// What all calls of a WebSocket have in common.
struct Shared {
    call: CallHead,
    head: RequestHead,
    connection: Connection,
    record: Arc<dyn Record>,
    memory: Memory,
    /// The rules that changed the request that opened it.
    rules: Option<AppliedRules>,
}

/// The request that opens a WebSocket, until it is answered. If it is refused, it was no call.
pub(super) struct Upgrade(Option<Shared>);

impl Upgrade {
    pub(super) fn new(
        call: CallHead,
        head: &RequestHead,
        connection: Connection,
        record: Arc<dyn Record>,
        memory: Memory,
        rules: Option<AppliedRules>,
    ) -> Self {
        Self(Some(Shared {
            call,
            head: head.clone(),
            connection,
            record,
            memory,
            rules,
        }))
    }
}

impl Exchange for Upgrade {
    fn read_request(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn response_head(&mut self, _: &ResponseHead, _: Instant) {}

    fn read_response(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn upgrade(&mut self, head: &ResponseHead, at: Instant) -> Option<Box<dyn Session>> {
        let shared = self.0.take()?;
        // No model is named yet, so that only limits of the account can be told of.
        let quotas = limits::of_head(head, shared.connection.wall_clock(at))
            .into_iter()
            .filter_map(|limit| limit.quota(shared.call.provider, None));
        quotas.for_each(|quota| shared.record.record(Fact::Quota(quota)));
        let extensions = head.fields.get(EXTENSIONS).unwrap_or_default();
        Some(Box::new(LiveSession {
            socket: Some(WebSocket::new(extensions, &shared.memory)),
            calls: Calls {
                // Each answer is read like one to a POST; the fields of the upgrade hold for all.
                answer_head: ResponseHead {
                    status: 200,
                    fields: head.fields.clone(),
                },
                shared,
                asking: None,
                current: None,
            },
        }))
    }

    fn end(self: Box<Self>, _: ExchangeEnd, _: Instant) {}
}

/// An open WebSocket.
struct LiveSession {
    /// `None` once its frames cannot be read any more.
    socket: Option<WebSocket>,
    calls: Calls,
}

/// The calls of a WebSocket.
struct Calls {
    shared: Shared,
    answer_head: ResponseHead,
    /// The message of the agent that is being read, and when it began.
    asking: Option<(Instant, Box<dyn ReadRequestBody>)>,
    current: Option<Box<LiveCall>>,
}

impl Session for LiveSession {
    fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> usize {
        let Some(socket) = &mut self.socket else {
            return bytes.len();
        };
        let mut messages = At {
            calls: &mut self.calls,
            at,
            limit: DecodeLimit::default(),
            is_unread: false,
        };
        let read = match socket.read(direction, bytes, limit, &mut messages) {
            Ok(_) if messages.is_unread => Err(ObserverFailure::DecodeBudget),
            read => read,
        };
        read.unwrap_or_else(|failure| {
            self.socket = None;
            self.calls.end(ExchangeEnd::Lost, at);
            self.calls
                .shared
                .record
                .record(Fact::ObserverFailed(failure));
            bytes.len()
        })
    }

    /// If the frames cannot be read, a call may be in progress.
    fn is_idle(&self) -> bool {
        self.socket.is_some() && self.calls.current.is_none()
    }

    fn end(mut self: Box<Self>, end: ExchangeEnd, at: Instant) {
        self.calls.end(end, at);
    }
}

impl Calls {
    fn end(&mut self, end: ExchangeEnd, at: Instant) {
        if let Some(call) = self.current.take() {
            call.end(end, at);
        }
    }

    /// Begins a call. The one before it, if its answer has not ended, was abandoned.
    fn begin(&mut self, request: Box<dyn ReadRequestBody>, begun: Instant, at: Instant) {
        self.end(ExchangeEnd::Complete, at);
        let Shared {
            call,
            head,
            connection,
            record,
            memory,
            rules,
        } = &mut self.shared;
        let mut share = memory.share();
        if share.cover(EXCHANGE_BYTES).is_err() {
            record.record(Fact::ObserverFailed(ObserverFailure::MemoryBudget));
            return;
        }
        // The first call of the connection has waited for it to open; later ones have not.
        let setup = connection.setup.take();
        let connection = Connection {
            setup,
            ..connection.clone()
        };
        let call = LiveCall::begin_with(
            call.clone(),
            request,
            head.fields.trace_parent,
            connection,
            Arc::clone(record),
            share,
            begun,
        );
        self.current = Some(Box::new(call.changed_by(rules.clone())));
    }
}

/// The calls at the moment at which bytes were read.
struct At<'a> {
    calls: &'a mut Calls,
    at: Instant,
    /// A message that is compressed in itself, beside what the socket agreed on, is read up to here:
    /// no client sends such.
    limit: DecodeLimit,
    /// A message went on beyond it.
    is_unread: bool,
}

impl Messages for At<'_> {
    fn fragment(&mut self, direction: Direction, payload: &[u8]) {
        let Self {
            calls,
            at,
            limit,
            is_unread,
        } = self;
        let read = match direction {
            Direction::ToProvider => {
                let Shared {
                    call, head, memory, ..
                } = &calls.shared;
                let (_, request) = calls
                    .asking
                    .get_or_insert_with(|| (*at, (call.request)(head, memory)));
                // A message that is not JSON is no call.
                request.feed(payload, limit).unwrap_or(payload.len())
            }
            Direction::ToAgent => match &mut calls.current {
                Some(current) => {
                    current.answer_over_socket(&calls.answer_head, *at);
                    current.read_response(payload, *at, limit)
                }
                None => payload.len(),
            },
        };
        *is_unread |= read < payload.len();
    }

    fn end_message(&mut self, direction: Direction) {
        let Self { calls, at, .. } = self;
        match direction {
            Direction::ToProvider => {
                let asked = calls.asking.take().filter(|(_, request)| request.asks());
                if let Some((begun, request)) = asked {
                    calls.begin(request, begun, *at);
                }
            }
            Direction::ToAgent => {
                if calls
                    .current
                    .as_ref()
                    .is_some_and(|call| call.has_last_word())
                {
                    calls.end(ExchangeEnd::Complete, *at);
                }
            }
        }
    }

    fn close(&mut self, direction: Direction) {
        let end = match direction {
            Direction::ToProvider => ExchangeEnd::AgentGone,
            Direction::ToAgent => ExchangeEnd::Truncated,
        };
        self.calls.end(end, self.at);
    }
}
