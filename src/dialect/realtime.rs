//! Calls in a realtime session: a WebSocket over which people talk with a model.
//!
//! Unlike in a [`session`](super::session), the provider answers by itself as soon as it has heard
//! enough, several answers may be under way at once, and the model is named once for all of them.
//! So the dialect reads whole messages ([`ReadRealtime`]) and says what each of them means
//! ([`Event`]); which calls are open, and when they began, is kept here.

mod talk;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::answer::{Fed, ReadBody, Said};
use super::form::RequestForm;
use super::limits::Limit;
use super::request::ReadRequestBody;
use super::session::EXTENSIONS;
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead, Session};
use crate::observe::memory::Share;
use crate::observe::websocket::{Messages, WebSocket};
use crate::observe::{Connection, Direction};
use crate::record::{
    CallIds, CorrelationMethod, Fact, Id, Model, ObserverFailure, Operation, Provider, Record,
    RepositoryName, RequestSettings, TraceParent, Turn,
};
use talk::Talk;

/// What the head of the request says that opens a session.
#[derive(Clone, Copy)]
pub(super) struct RealtimeHead {
    /// Who is asked.
    pub(super) provider: Provider,
    /// How the provider refuses a request.
    pub(super) form: &'static RequestForm,
    /// A reader of the session's messages.
    pub(super) reader: fn(Provider) -> Box<dyn ReadRealtime>,
}

/// Reads the messages of a session.
pub(super) trait ReadRealtime: Send {
    /// Takes a fragment of the current message of a direction.
    fn fragment(&mut self, direction: Direction, payload: &[u8]);

    /// The current message of a direction is complete, at this time. Returns what it means, in
    /// order.
    fn end_message(&mut self, direction: Direction, now: SystemTime) -> Vec<Event>;

    /// Whether a response begins only when the one before it is over.
    fn takes_turns(&self) -> bool;

    /// What is known of a response that is under way.
    fn so_far(&self, response: Option<&Id>) -> Reply;
}

/// What a message means. Responses without an id are the only one that is under way.
pub(super) enum Event {
    /// The agent asks for a response.
    Asked,
    /// A response begins.
    Begun(Option<Id>),
    /// A piece of a response with content.
    Content(Option<Id>),
    /// A response is over.
    Ended(Option<Id>, Box<Said>),
    /// What is left of limits.
    Limits(Vec<Limit>),
    /// The session is with this model.
    Model(Model),
    /// The agent's last request that was not answered is refused.
    Refused(Box<Said>),
    /// What was said to the model has been written down, by a model that is another one.
    Transcribed(Model, Box<Said>),
}

/// An answer, as far as it was read from the messages of a session.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) said: Said,
    /// Nothing follows.
    pub(super) is_over: bool,
}

impl ReadBody for Reply {
    fn feed(&mut self, bytes: &[u8], _: &mut DecodeLimit) -> Fed {
        Fed {
            read: bytes.len(),
            contents: 0,
        }
    }

    fn finish(&mut self, _: ExchangeEnd) -> usize {
        0
    }

    fn failure(&self) -> Option<ObserverFailure> {
        None
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn is_whole(&self, _: ExchangeEnd) -> bool {
        self.is_over
    }

    fn said(&self, _: SystemTime) -> Said {
        self.said.clone()
    }
}

/// The request that opens a session, until it is answered. If it is refused, it was no call.
pub(super) struct RealtimeUpgrade(Option<Shared>);

/// What all calls of a session have in common.
struct Shared {
    head: RealtimeHead,
    trace_parent: Option<TraceParent>,
    connection: Connection,
    record: Arc<dyn Record>,
    /// The share of the session itself.
    share: Share,
}

impl RealtimeUpgrade {
    /// `share` is the memory of the session, beside that of its calls.
    pub(super) fn new(
        realtime: RealtimeHead,
        head: &RequestHead,
        connection: Connection,
        record: Arc<dyn Record>,
        share: Share,
    ) -> Self {
        Self(Some(Shared {
            head: realtime,
            trace_parent: head.fields.trace_parent,
            connection,
            record,
            share,
        }))
    }
}

impl Exchange for RealtimeUpgrade {
    fn read_request(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn response_head(&mut self, _: &ResponseHead, _: Instant) {}

    fn read_response(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn upgrade(&mut self, head: &ResponseHead, _: Instant) -> Option<Box<dyn Session>> {
        let shared = self.0.take()?;
        let extensions = head.fields.get(EXTENSIONS).unwrap_or_default();
        Some(Box::new(RealtimeSession {
            socket: Some(WebSocket::new(extensions, shared.share.memory())),
            talk: Talk::new(shared, head),
            message_begun: None,
        }))
    }

    fn end(self: Box<Self>, _: ExchangeEnd, _: Instant) {}
}

/// An open session.
struct RealtimeSession {
    /// `None` once its frames cannot be read any more.
    socket: Option<WebSocket>,
    talk: Talk,
    /// When the message of the agent began that is being read.
    message_begun: Option<Instant>,
}

impl Session for RealtimeSession {
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
            talk: &mut self.talk,
            message_begun: &mut self.message_begun,
            at,
        };
        let read = socket.read(direction, bytes, limit, &mut messages);
        read.unwrap_or_else(|failure| {
            self.socket = None;
            self.talk.end(ExchangeEnd::Lost, at);
            self.talk.record(Fact::ObserverFailed(failure));
            bytes.len()
        })
    }

    /// If the frames cannot be read, a call may be in progress.
    fn is_idle(&self) -> bool {
        self.socket.is_some() && self.talk.is_idle()
    }

    fn end(mut self: Box<Self>, end: ExchangeEnd, at: Instant) {
        self.talk.end(end, at);
    }
}

/// The talk at the moment at which bytes were read.
struct At<'a> {
    talk: &'a mut Talk,
    message_begun: &'a mut Option<Instant>,
    at: Instant,
}

impl Messages for At<'_> {
    fn fragment(&mut self, direction: Direction, payload: &[u8]) {
        if direction == Direction::ToProvider {
            self.message_begun.get_or_insert(self.at);
        }
        self.talk.reader.fragment(direction, payload);
    }

    fn end_message(&mut self, direction: Direction) {
        let Self {
            talk,
            message_begun,
            at,
        } = self;
        let begun = match direction {
            Direction::ToProvider => message_begun.take(),
            Direction::ToAgent => None,
        };
        for event in talk.reader.end_message(direction, talk.now(*at)) {
            talk.take(event, begun.unwrap_or(*at), *at);
        }
    }

    fn close(&mut self, direction: Direction) {
        let end = match direction {
            Direction::ToProvider => ExchangeEnd::AgentGone,
            Direction::ToAgent => ExchangeEnd::Truncated,
        };
        self.talk.end(end, self.at);
    }
}

/// The request of a call that no message of its own asks for.
struct NoRequest;

impl ReadRequestBody for NoRequest {
    fn feed(&mut self, bytes: &[u8], _: &mut DecodeLimit) -> Result<usize, ObserverFailure> {
        Ok(bytes.len())
    }

    fn asks(&self) -> bool {
        true
    }

    fn model(&self) -> Option<&Model> {
        None
    }

    fn operation(&self) -> Option<Operation> {
        None
    }

    fn ids(&self) -> CallIds {
        CallIds::default()
    }

    fn method(&self) -> CorrelationMethod {
        CorrelationMethod::None
    }

    fn turn(&self) -> Turn {
        Turn::default()
    }

    fn settings(&self) -> RequestSettings {
        RequestSettings::default()
    }

    fn is_compacted(&self) -> bool {
        false
    }

    fn repository(&self) -> Option<&RepositoryName> {
        None
    }
}
