//! HTTP/1.0 and 1.1, read passively from both directions of one connection.
//!
//! Bytes enter; exchanges leave, pipelined ones included. A connection that is malformed, or could
//! be understood in two ways, is never guessed at: its exchanges end as lost, the loss is counted
//! once, and what follows is ignored.

mod body;
mod head;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::coding::DecodeLimit;
use super::exchange::{ExchangeEnd, OpenExchange, ResponseHead};
use super::live::{self, Live};
use super::memory::Memory;
use super::{Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};
use body::Body;
use head::{HeadBuffer, Method, RawHead, Request, Response};

pub(crate) use requests::RequestCheck;

/// Reads one HTTP/1 connection.
pub(super) struct Http1 {
    open: Box<dyn OpenExchange>,
    record: Arc<dyn Record>,
    memory: Memory,
    state: State,
    agent: Side,
    provider: Side,
    /// Whether the agent has sent its last byte.
    agent_left: bool,
    /// The exchanges that are not done, oldest first. Only the newest can have an unfinished
    /// request.
    pending: VecDeque<Pending>,
    /// The exchanges whose response was complete only after the agent had left, and when it was.
    /// Only the end of the connection tells whether the agent still took it: a connection that it
    /// has closed is reset by what comes.
    left_behind: Vec<(Live, Instant)>,
    /// The exchange with which the connection left HTTP.
    upgraded: Option<Live>,
}

/// One direction: either in a body or in (or before) a head.
struct Side {
    head: HeadBuffer,
    body: Option<Body>,
}

impl Side {
    fn new(memory: &Memory) -> Self {
        Self {
            head: HeadBuffer::new(memory),
            body: None,
        }
    }
}

struct Pending {
    live: Live,
    method: Method,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The framing was lost.
    Lost,
    /// The connection left HTTP.
    Opaque,
    /// No response can come any more.
    Over,
    /// Heads and bodies are read.
    Reading,
}

impl Http1 {
    /// Reads a connection from its first byte. Requests go to `open`; lost figures are counted by
    /// `record`; heads are kept out of `memory`.
    #[must_use]
    pub(super) fn new(
        open: Box<dyn OpenExchange>,
        record: Arc<dyn Record>,
        memory: Memory,
    ) -> Self {
        let pending = VecDeque::new();
        let (agent, provider) = (Side::new(&memory), Side::new(&memory));
        let left_behind = Vec::new();
        Self {
            open,
            record,
            memory,
            state: State::Reading,
            agent,
            provider,
            agent_left: false,
            pending,
            left_behind,
            upgraded: None,
        }
    }

    /// Takes off `input` what it has read.
    fn read_requests(
        &mut self,
        input: &mut &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> Result<(), ObserverFailure> {
        while !input.is_empty() && !limit.is_reached() {
            if let (Some(body), Some(pending)) = (&mut self.agent.body, self.pending.back_mut()) {
                let live = &mut pending.live;
                if body.read(input, |piece| live.read_request(piece, at, limit))? {
                    self.request_done(at);
                }
            } else if let Some(raw) = self.agent.head.fill(input, at)? {
                self.begin_request(&raw, at)?;
            }
        }
        Ok(())
    }

    fn begin_request(&mut self, raw: &RawHead, at: Instant) -> Result<(), ObserverFailure> {
        let request = Request::parse(&raw.bytes, self.open.listed())?;
        if self.pending.len() == MAX_PENDING {
            return Err(ObserverFailure::Limit);
        }
        let live = Live::open(&mut *self.open, &request.head, raw.begun);
        self.pending.push_back(Pending {
            live,
            method: request.method,
        });
        self.agent.body = request.body;
        if request.body.is_none() {
            self.request_done(at);
        }
        Ok(())
    }

    fn request_done(&mut self, at: Instant) {
        self.agent.body = None;
        if let Some(pending) = self.pending.back_mut() {
            pending.live.request_done = true;
        }
        self.close_done(at);
    }

    /// Takes off `input` what it has read.
    fn read_responses(
        &mut self,
        input: &mut &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> Result<(), ObserverFailure> {
        while !input.is_empty() && !limit.is_reached() && self.state == State::Reading {
            if let (Some(body), Some(pending)) = (&mut self.provider.body, self.pending.front_mut())
            {
                let live = &mut pending.live;
                if body.read(input, |piece| live.read_response(piece, at, limit))? {
                    self.response_done(at);
                }
            } else if let Some(raw) = self.provider.head.fill(input, at)? {
                self.begin_response(&raw, at)?;
            }
        }
        Ok(())
    }

    fn begin_response(&mut self, raw: &RawHead, at: Instant) -> Result<(), ObserverFailure> {
        let unanswered = self
            .pending
            .front_mut()
            .filter(|pending| !pending.live.response_done);
        let Some(Pending { live, method }) = unanswered else {
            return Err(ObserverFailure::Http1Malformed);
        };
        match Response::parse(&raw.bytes, *method, self.open.listed())? {
            Response::Interim => Ok(()),
            Response::SwitchingProtocols(head) => self.upgrade(&head, at),
            Response::Tunnel(head) => {
                live.response_head(&head, at);
                self.upgrade(&head, at)
            }
            Response::Final(head, body) => {
                live.response_head(&head, at);
                self.provider.body = body;
                if body.is_none() {
                    self.response_done(at);
                }
                Ok(())
            }
        }
    }

    fn response_done(&mut self, at: Instant) {
        self.provider.body = None;
        if let Some(pending) = self.pending.front_mut() {
            pending.live.response_done = true;
        }
        if self.agent_left {
            self.left_behind
                .extend(self.pending.pop_front().map(|pending| (pending.live, at)));
        } else {
            self.close_done(at);
        }
    }

    fn close_done(&mut self, at: Instant) {
        if self
            .pending
            .front()
            .is_some_and(|pending| pending.live.is_done())
            && let Some(pending) = self.pending.pop_front()
        {
            pending.live.close(ExchangeEnd::Complete, at);
        }
    }

    /// Leaves HTTP with the oldest exchange. That requests were read behind it means that the agent
    /// and the provider disagree on where HTTP ended.
    fn upgrade(&mut self, head: &ResponseHead, at: Instant) -> Result<(), ObserverFailure> {
        self.upgraded = self.pending.pop_front().map(|mut pending| {
            pending.live.upgrade(head, at);
            pending.live
        });
        if !self.pending.is_empty() {
            return Err(ObserverFailure::Http1Malformed);
        }
        self.leave(State::Opaque, ExchangeEnd::Upgraded, at);
        Ok(())
    }

    fn lose(&mut self, failure: ObserverFailure, at: Instant) {
        self.upgraded = None;
        self.leave(State::Lost, ExchangeEnd::Lost, at);
        self.record.record(Fact::ObserverFailed(failure));
    }

    /// The provider will send nothing more: a body that lasts until then is complete, every other
    /// answer is cut off.
    fn provider_done(&mut self, at: Instant) {
        if self.provider.body == Some(Body::UntilClose) {
            self.response_done(at);
        }
        self.leave(State::Over, live::cut_off(End::Closed, self.agent_left), at);
    }

    /// Stops reading for good and gives the buffers back.
    fn leave(&mut self, state: State, end: ExchangeEnd, at: Instant) {
        self.state = state;
        self.agent = Side::new(&self.memory);
        self.provider = Side::new(&self.memory);
        for pending in std::mem::take(&mut self.pending) {
            pending.live.close(end, at);
        }
    }

    /// The connection has ended, which tells whether an agent that had left was still reading.
    fn close_left_behind(&mut self, end: End) {
        let end = if end == End::AgentGone {
            ExchangeEnd::AgentGone
        } else {
            ExchangeEnd::AgentLeft
        };
        for (mut live, at) in std::mem::take(&mut self.left_behind) {
            live.finish(end, at);
        }
    }
}

impl Observer for Http1 {
    fn read(&mut self, direction: Direction, bytes: &[u8], at: Instant) -> usize {
        let (mut rest, mut limit) = (bytes, DecodeLimit::default());
        if self.state == State::Reading {
            let read = match direction {
                Direction::ToProvider => self.read_requests(&mut rest, at, &mut limit),
                Direction::ToAgent => self.read_responses(&mut rest, at, &mut limit),
            };
            if let Err(failure) = read {
                self.lose(failure, at);
            }
        }
        let read = bytes.len() - rest.len();
        match (self.state, &mut self.upgraded, direction) {
            (State::Reading, ..) => read,
            _ if rest.is_empty() => read,
            (_, Some(live), Direction::ToProvider) => {
                read + live.read_request(rest, at, &mut limit)
            }
            (_, Some(live), Direction::ToAgent) => read + live.read_response(rest, at, &mut limit),
            (_, None, _) => bytes.len(),
        }
    }

    fn half_closed(&mut self, direction: Direction, at: Instant) {
        match direction {
            Direction::ToProvider => self.agent_left = true,
            Direction::ToAgent if self.state == State::Reading => self.provider_done(at),
            Direction::ToAgent => {}
        }
    }

    /// False after the framing was lost, or the connection upgraded to what nothing observes: what is
    /// still in progress there is unknown.
    fn is_between_exchanges(&self) -> bool {
        match self.state {
            State::Lost => false,
            State::Opaque => self.upgraded.as_ref().is_some_and(Live::is_idle_session),
            State::Over => true,
            State::Reading => self.pending.is_empty() && self.agent.head.is_empty(),
        }
    }

    fn end(&mut self, end: End, at: Instant) {
        match (self.state, end) {
            (State::Reading, End::Closed) => self.provider_done(at),
            (State::Reading, _) => self.leave(State::Over, live::cut_off(end, self.agent_left), at),
            (State::Lost | State::Opaque | State::Over, _) => {}
        }
        if let Some(upgraded) = self.upgraded.take() {
            upgraded.close(live::cut_off(end, self.agent_left), at);
        }
        self.close_left_behind(end);
    }
}

/// Agents do not pipeline at all; browsers that once did stopped at 8.
const MAX_PENDING: usize = 128;

#[cfg(test)]
mod tests;
