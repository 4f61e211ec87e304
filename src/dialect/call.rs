//! A call in progress: reads request and answer, and records one [`Fact::Call`], however it ends.
//!
//! A call is recorded when its exchange ends, or when it is dropped unfinished (an observer that
//! panicked, a process that shuts down). What could not be read is recorded once for each call and
//! lowers the quality of its figures.

mod ended;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::CallHead;
use super::answer::{AnswerHead, Fed, ReadBody, Said};
use super::contents::Contents;
use super::limits::{self, Limit};
use super::request::ReadRequestBody;
use super::response::Response;
use crate::observe::Connection;
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead};
use crate::observe::memory::Share;
use crate::record::{
    AppliedRules, CallStarted, ContentChunks, Fact, Model, ObserverFailure, Operation, Record,
    TraceParent,
};

/// A call in progress.
pub(super) struct LiveCall {
    number: u64,
    connection: Connection,
    record: Arc<dyn Record>,
    /// Its share of the memory budget.
    share: Share,
    head: CallHead,
    request: Box<dyn ReadRequestBody>,
    /// The span that the agent says it is part of.
    parent: Option<TraceParent>,
    /// In a box, because an agent may send many requests that are not answered.
    response: Option<Box<Response>>,
    begun: Instant,
    /// Whether a request of the agent has begun it, so that its answer has been waited for.
    is_asked: bool,
    /// The last time that anything was seen.
    last: Instant,
    contents: Option<Contents>,
    /// The rules that changed the request, if any did.
    rules: Option<Box<AppliedRules>>,
    /// A failure has been recorded.
    failed: bool,
    ended: bool,
}

impl Exchange for LiveCall {
    fn read_request(&mut self, bytes: &[u8], at: Instant, limit: &mut DecodeLimit) -> usize {
        self.last = at;
        self.request.feed(bytes, limit).unwrap_or_else(|failure| {
            self.fail(failure);
            bytes.len()
        })
    }

    fn response_head(&mut self, head: &ResponseHead, at: Instant) {
        self.answer(Some(head.status), head, at);
        let limits = limits::of_head(head, self.connection.wall_clock(at));
        self.record_limits(limits, Some(head.status));
    }

    fn read_response(&mut self, bytes: &[u8], at: Instant, limit: &mut DecodeLimit) -> usize {
        self.last = at;
        let Some(response) = &mut self.response else {
            return bytes.len();
        };
        let Fed { read, contents } = response.body.feed(bytes, limit);
        self.contents(contents, at);
        read
    }

    fn end(mut self: Box<Self>, end: ExchangeEnd, at: Instant) {
        self.last = at;
        self.state(end);
    }
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        self.state(ExchangeEnd::Shutdown);
    }
}

impl LiveCall {
    /// A call whose request has begun with this head.
    pub(super) fn begin(
        call: CallHead,
        head: &RequestHead,
        connection: Connection,
        record: Arc<dyn Record>,
        share: Share,
        at: Instant,
    ) -> Self {
        let request = (call.request)(head, share.memory());
        let parent = head.fields.trace_parent;
        Self::begin_with(call, request, parent, connection, record, share, at)
    }

    /// The same call, whose request was changed by these rules before it was sent.
    pub(super) fn changed_by(mut self, rules: Option<AppliedRules>) -> Self {
        self.rules = rules.map(Box::new);
        self
    }

    /// Records that a call has begun, whose request is read by this reader.
    pub(super) fn begin_with(
        call: CallHead,
        request: Box<dyn ReadRequestBody>,
        parent: Option<TraceParent>,
        connection: Connection,
        record: Arc<dyn Record>,
        share: Share,
        at: Instant,
    ) -> Self {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        record.record(Fact::CallStarted(CallStarted {
            number,
            provider: call.provider,
            host: connection.host.clone(),
            operation: call.operation,
            model: call.model.clone(),
            started_at: connection.wall_clock(at),
            caller: connection.caller.now(),
        }));
        Self {
            parent,
            number,
            connection,
            record,
            request,
            share,
            head: call,
            response: None,
            begun: at,
            is_asked: true,
            last: at,
            contents: None,
            rules: None,
            failed: false,
            ended: false,
        }
    }

    fn answer(&mut self, status: Option<u16>, head: &ResponseHead, at: Instant) {
        self.last = at;
        let of = AnswerHead {
            provider: self.head.provider,
            head,
            expects_events: self.head.expects_events,
            memory: self.share.memory(),
        };
        let body = (self.head.answer)(of);
        self.response = Some(Box::new(Response::new(status, head, body)));
    }

    /// Begins the answer of a call over a WebSocket, which has no status, unless it has begun.
    pub(super) fn answer_over_socket(&mut self, head: &ResponseHead, at: Instant) {
        if self.response.is_none() {
            self.answer(None, head, at);
        }
    }

    /// The same call, which the provider has begun by itself: nobody has waited for its answer.
    pub(super) fn unasked(mut self) -> Self {
        self.is_asked = false;
        self
    }

    /// Takes an answer that was read elsewhere, as far as it has come.
    pub(super) fn reply(&mut self, reply: Box<dyn ReadBody>, head: &ResponseHead, at: Instant) {
        self.last = at;
        self.response = Some(Box::new(Response::new(None, head, reply)));
    }

    /// Takes note of a part with content of an answer that is read elsewhere.
    pub(super) fn content(&mut self, at: Instant) {
        self.last = at;
        self.contents(1, at);
    }

    /// Whether the answer has come to the mark with which it ends.
    pub(super) fn has_last_word(&self) -> bool {
        let response = self.response.as_ref();
        response.is_some_and(|response| response.body.is_whole(ExchangeEnd::Truncated))
    }

    /// Records that so many parts with content were completed at this time.
    fn contents(&mut self, count: usize, at: Instant) {
        let following = Contents::add(&mut self.contents, count, at);
        let Some((count, gap)) = following.filter(|_| self.is_streamed()) else {
            return;
        };
        self.record.record(Fact::ContentChunks(ContentChunks {
            provider: self.head.provider,
            operation: self.operation(),
            model: self.model(),
            gap,
            count,
        }));
    }

    fn model(&self) -> Model {
        let named = self.head.model.as_ref().or_else(|| self.request.model());
        named.cloned().unwrap_or_else(Model::unknown)
    }

    /// Records what is left of limits.
    fn record_limits(&self, limits: Vec<Limit>, status: Option<u16>) {
        if limits.is_empty() {
            return;
        }
        let model = self.model();
        let is_proven = model != Model::unknown() && limits::proves_model(status);
        let model = Some(&model).filter(|_| is_proven);
        let quotas = limits
            .into_iter()
            .filter_map(|limit| limit.quota(self.head.provider, model));
        quotas.for_each(|quota| self.record.record(Fact::Quota(quota)));
    }

    /// Records a failure, at most one for each call.
    fn fail(&mut self, failure: ObserverFailure) {
        if !std::mem::replace(&mut self.failed, true) {
            self.record.record(Fact::ObserverFailed(failure));
        }
    }

    /// Records the call, once.
    fn state(&mut self, end: ExchangeEnd) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let contents = self
            .response
            .as_mut()
            .map_or(0, |response| response.body.finish(end));
        self.contents(contents, self.last);
        let failure = self
            .response
            .as_ref()
            .and_then(|response| response.body.failure());
        if let Some(failure) = failure {
            self.fail(failure);
        }
        let mut said = self.said();
        let call = self.call(end, failure.is_some(), &said);
        self.record_limits(std::mem::take(&mut said.limits), call.status);
        if let Some(quota) = limits::used_up(&call, &said) {
            self.record.record(Fact::Quota(quota));
        }
        if let Some(total) = self.total(&said) {
            self.record.record(Fact::TotalCompared {
                provider: call.provider,
                total,
            });
        }
        let others: Vec<_> = said
            .other_models
            .into_iter()
            .map(|(model, usage)| self.part_of(&call, model, usage))
            .collect();
        self.connection.caller.note_call(&call);
        self.record.record(Fact::Call(Box::new(call)));
        for part in others {
            self.record.record(Fact::CallStarted((&part).into()));
            self.record.record(Fact::Call(Box::new(part)));
        }
    }

    fn said(&self) -> Said {
        let now = self.connection.wall_clock(self.last);
        let response = self.response.as_ref();
        response.map_or_else(Said::default, |response| response.body.said(now))
    }

    /// The body can say what a generation is for; the path alone decides on other operations.
    fn operation(&self) -> Operation {
        match self.head.operation {
            Operation::Chat => self.request.operation().unwrap_or(Operation::Chat),
            other => other,
        }
    }

    fn is_streamed(&self) -> bool {
        self.response
            .as_ref()
            .is_some_and(|response| response.is_stream())
    }
}

/// The memory of an exchange besides the windows of its decoders, in bytes: some 2 KiB, and up to 6
/// more for the shape of its documents. It is limited because an agent can open thousands of
/// exchanges with as many bytes as an answer has.
pub(super) const EXCHANGE_BYTES: usize = 8 << 10;

/// The number of the next call, from 1, unique in the process: later facts refer to a call by it.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);
