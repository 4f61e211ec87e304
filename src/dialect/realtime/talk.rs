//! The calls of a realtime session: which are open, and when each of them began.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::{Event, NoRequest, ReadRealtime, Reply, Shared};
use crate::dialect::CallHead;
use crate::dialect::answer::Said;
use crate::dialect::call::{EXCHANGE_BYTES, LiveCall};
use crate::dialect::limits::Limit;
use crate::observe::Connection;
use crate::observe::exchange::{Exchange as _, ExchangeEnd, ResponseHead};
use crate::record::{Fact, Id, Model, ObserverFailure, Operation};

/// The calls of a session.
pub(super) struct Talk {
    shared: Shared,
    pub(super) reader: Box<dyn ReadRealtime>,
    answer_head: ResponseHead,
    model: Option<Model>,
    /// The calls in progress, the first to begin first.
    open: Vec<Open>,
}

/// A call in progress.
struct Open {
    /// The id of its response, where responses have one.
    response: Option<Id>,
    /// The response has begun.
    is_answered: bool,
    call: LiveCall,
}

impl Talk {
    /// The talk of a session that was opened with this answer.
    pub(super) fn new(shared: Shared, head: &ResponseHead) -> Self {
        Self {
            reader: (shared.head.reader)(shared.head.provider),
            answer_head: ResponseHead {
                status: 200,
                fields: head.fields.clone(),
            },
            shared,
            model: None,
            open: Vec::new(),
        }
    }

    /// Whether no response is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The wall clock at that time.
    pub(super) fn now(&self, at: Instant) -> SystemTime {
        self.shared.connection.wall_clock(at)
    }

    pub(super) fn record(&self, fact: Fact) {
        self.shared.record.record(fact);
    }

    /// Takes what a message means that began at `begun` and was complete at `at`.
    pub(super) fn take(&mut self, event: Event, begun: Instant, at: Instant) {
        match event {
            // Whether it is answered by a response of its own is the provider's choice.
            Event::Asked if self.reader.takes_turns() && !self.open.is_empty() => {}
            Event::Asked => _ = self.begin(Some(begun), at),
            Event::Begun(response) => _ = self.answered(response, at),
            Event::Content(response) => self.content(response, at),
            Event::Ended(response, said) => self.ended(response, *said, at),
            Event::Limits(limits) => self.limits(limits),
            Event::Model(model) => self.model = Some(model),
            Event::Refused(said) => {
                let refused = self.open.iter().position(|open| !open.is_answered);
                if let Some(place) = refused {
                    self.close(place, *said, at);
                }
            }
            Event::Transcribed(model, said) => self.transcribed(model, *said, at),
        }
    }

    /// Begins a call, at the time at which it was asked for, if it was. Returns its place, unless
    /// there is no memory for it.
    fn begin(&mut self, asked: Option<Instant>, at: Instant) -> Option<usize> {
        let model = self.model.clone();
        let call = self.live_call(Operation::Chat, model, asked.unwrap_or(at))?;
        self.open.push(Open {
            response: None,
            is_answered: false,
            call: if asked.is_some() {
                call
            } else {
                call.unasked()
            },
        });
        Some(self.open.len() - 1)
    }

    fn live_call(
        &mut self,
        operation: Operation,
        model: Option<Model>,
        begun: Instant,
    ) -> Option<LiveCall> {
        let mut share = self.shared.share.memory().share();
        if self.open.len() >= MAX_OPEN || share.cover(EXCHANGE_BYTES).is_err() {
            self.record(Fact::ObserverFailed(ObserverFailure::MemoryBudget));
            return None;
        }
        // The first call of the connection has waited for it to open; later ones have not.
        let setup = self.shared.connection.setup.take();
        let connection = Connection {
            setup,
            ..self.shared.connection.clone()
        };
        let head = CallHead {
            provider: self.shared.head.provider,
            operation,
            model,
            form: self.shared.head.form,
            expects_events: true,
            request: |_, _| Box::new(NoRequest),
            answer: |_| Box::new(Reply::default()),
        };
        Some(LiveCall::begin_with(
            head,
            Box::new(NoRequest),
            self.shared.trace_parent,
            connection,
            Arc::clone(&self.shared.record),
            share,
            begun,
        ))
    }

    /// The place of a response's call, which begins now if it is not open: as the answer to what
    /// was asked for first, or by itself.
    fn answered(&mut self, response: Option<Id>, at: Instant) -> Option<usize> {
        let is_it = |open: &Open| open.is_answered && open.response == response;
        if let Some(place) = self.open.iter().position(is_it) {
            return Some(place);
        }
        let place = match self.open.iter().position(|open| !open.is_answered) {
            Some(place) => place,
            None => self.begin(None, at)?,
        };
        let open = self.open.get_mut(place)?;
        open.is_answered = true;
        open.response = response;
        let reply = Box::new(Reply::default());
        open.call.reply(reply, &self.answer_head, at);
        Some(place)
    }

    fn content(&mut self, response: Option<Id>, at: Instant) {
        let place = self.answered(response, at);
        if let Some(open) = place.and_then(|place| self.open.get_mut(place)) {
            open.call.content(at);
        }
    }

    /// A response is over. The end of one that never began, without any figures, is nothing.
    fn ended(&mut self, response: Option<Id>, said: Said, at: Instant) {
        if self.open.is_empty() && said.usage.is_unreported() && said.error.is_none() {
            return;
        }
        if let Some(place) = self.answered(response, at) {
            self.close(place, said, at);
        }
    }

    fn close(&mut self, place: usize, said: Said, at: Instant) {
        let mut open = self.open.remove(place);
        let reply = Box::new(Reply {
            said,
            is_over: true,
        });
        open.call.reply(reply, &self.answer_head, at);
        Box::new(open.call).end(ExchangeEnd::Complete, at);
    }

    fn transcribed(&mut self, model: Model, said: Said, at: Instant) {
        let Some(call) = self.live_call(Operation::Transcription, Some(model), at) else {
            return;
        };
        let mut call = call.unasked();
        let reply = Box::new(Reply {
            said,
            is_over: true,
        });
        call.reply(reply, &self.answer_head, at);
        Box::new(call).end(ExchangeEnd::Complete, at);
    }

    fn limits(&self, limits: Vec<Limit>) {
        let model = self.model.as_ref();
        limits
            .into_iter()
            .filter_map(|limit| limit.quota(self.shared.head.provider, model))
            .for_each(|quota| self.record(Fact::Quota(quota)));
    }

    /// The session has ended, and everything that is under way with it.
    pub(super) fn end(&mut self, end: ExchangeEnd, at: Instant) {
        for Open {
            response,
            is_answered,
            mut call,
        } in std::mem::take(&mut self.open)
        {
            if is_answered {
                let reply = self.reader.so_far(response.as_ref());
                call.reply(Box::new(reply), &self.answer_head, at);
            }
            Box::new(call).end(end, at);
        }
    }
}

/// Responses under way at the same time. Beside that to the conversation, an agent may ask for a few
/// apart from it; each message is looked up among all of them.
const MAX_OPEN: usize = 32;
