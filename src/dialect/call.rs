//! A call in progress: reads request and answer, and records one [`Fact::Call`], however it ends.
//!
//! A call is recorded when its exchange ends, or when it is dropped unfinished (an observer that
//! panicked, a process that shuts down). What could not be read is recorded once for each call and
//! lowers the quality of its figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::aliases::is_substitution;
use super::answer::{AnswerHead, Said};
use super::contents::Contents;
use super::limits::{self, Limit};
use super::request::ReadRequestBody;
use super::response::Response;
use super::verdict::Evidence;
use super::{CallHead, provider_of};
use crate::observe::Connection;
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead};
use crate::observe::memory::Share;
use crate::record::{
    Call, CallIds, CallStarted, ContentChunks, Correlation, Cost, Fact, ModalitySplits, Model,
    ObserverFailure, Operation, Record, Reported, Timing, TokenUsage, TraceParent, Turn,
    UsageTotal,
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
    /// The last time that anything was seen.
    last: Instant,
    contents: Option<Contents>,
    /// A failure has been recorded.
    failed: bool,
    ended: bool,
}

impl Exchange for LiveCall {
    fn request_body(&mut self, bytes: &[u8], at: Instant) {
        self.last = at;
        if let Err(failure) = self.request.feed(bytes) {
            self.fail(failure);
        }
    }

    fn response_head(&mut self, head: &ResponseHead, at: Instant) {
        self.answer(Some(head.status), head, at);
        let limits = limits::of_head(head, self.connection.wall_clock(at));
        self.record_limits(limits, Some(head.status));
    }

    fn response_body(&mut self, bytes: &[u8], at: Instant) {
        self.last = at;
        let Some(response) = &mut self.response else {
            return;
        };
        let contents = response.body.feed(bytes);
        self.contents(contents, at);
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
            last: at,
            contents: None,
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

    fn call(&self, end: ExchangeEnd, unreadable: bool, said: &Said) -> Call {
        let response = self.response.as_deref();
        let rate_limit = response.and_then(|response| response.rate_limit(said));
        let ids = CallIds {
            provider_trace: said.trace.clone(),
            response: said.response.clone(),
            ..self.request.ids()
        };
        let evidence = Evidence {
            operation: self.operation(),
            status: said
                .status
                .or(response.and_then(|response| response.status)),
            rate_limited: rate_limit.is_some(),
            error_in_answer: said.error.is_some(),
            has_usage: !said.usage.is_unreported(),
            is_sound: said.is_sound,
            has_ended: response.is_some_and(|response| response.body.is_whole(end)),
            unreadable,
            end,
        };
        Call {
            number: self.number,
            provider: self.head.provider,
            host: self.connection.host.clone(),
            operation: evidence.operation,
            model: self.model(),
            counted_as: None,
            reasoning_level: self.request.reasoning_level().cloned(),
            served_model: said.served_model.clone(),
            is_substituted: self.is_substituted(said),
            outcome: evidence.outcome(),
            status: evidence.status,
            streamed: self.is_streamed(),
            finish_reason: said.finish_reason.clone(),
            rate_limit,
            usage: said.usage,
            modalities: said.modalities.within(&said.usage.counts()),
            quality: evidence.quality(),
            reported: response.map_or_else(Reported::default, |response| response.reported(said)),
            cost: None,
            timing: self.timing(),
            port: self.connection.port,
            parent: self.parent,
            trace: None,
            setup: self.connection.setup.clone(),
            correlation: Correlation {
                cascade: None,
                method: self.request.method(),
            },
            ids,
            turn: Turn {
                end: said.turn_end,
                tool_calls: said.tool_calls,
                ..self.request.turn()
            },
        }
    }

    /// Whether another model has answered than the one that was asked. A gateway of the user's own
    /// calls its models what it likes.
    fn is_substituted(&self, said: &Said) -> bool {
        let is_known = provider_of(&self.connection.host).is_some();
        let served = said.served_model.as_ref().filter(|_| is_known);
        served.is_some_and(|served| is_substitution(self.head.provider, &self.model(), served))
    }

    /// The part of the exchange that another model answered, as a call of its own: its tokens have
    /// another price, and its times are those of the whole. A cost that the provider reports is of
    /// the whole, so this part adds nothing to it.
    fn part_of(&self, call: &Call, model: Model, usage: TokenUsage) -> Call {
        Call {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            served_model: Some(model.clone()),
            is_substituted: false,
            model,
            usage,
            modalities: ModalitySplits::default(),
            finish_reason: None,
            reported: Reported {
                cost: call.reported.cost.map(|_| Cost::default()),
                service_tier: call.reported.service_tier,
                inference_geo: call.reported.inference_geo.clone(),
                ..Reported::default()
            },
            setup: None,
            turn: Turn::default(),
            timing: Timing {
                time_to_first_chunk: None,
                content_duration: None,
                ..call.timing
            },
            ..call.clone()
        }
    }

    /// How the total compares with its parts, if the answer reports any of them.
    fn total(&self, said: &Said) -> Option<UsageTotal> {
        let is_answer = self
            .response
            .as_ref()
            .is_some_and(|response| response.is_answer(said));
        let reports = said.total != UsageTotal::Absent || !said.usage.is_unreported();
        (is_answer && reports).then_some(said.total)
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

    fn timing(&self) -> Timing {
        let several = self
            .contents
            .filter(|contents| contents.several && self.is_streamed());
        Timing {
            started_at: self.connection.wall_clock(self.begun),
            duration: self.last.saturating_duration_since(self.begun),
            time_to_first_chunk: self
                .contents
                .map(|contents| contents.first.saturating_duration_since(self.begun)),
            content_duration: several
                .map(|contents| contents.last.saturating_duration_since(contents.first)),
        }
    }
}

/// The memory of an exchange besides the windows of its decoders, in bytes: some 2 KiB, and up to 6
/// more for the shape of its documents. It is limited because an agent can open thousands of
/// exchanges with as many bytes as an answer has.
pub(super) const EXCHANGE_BYTES: usize = 8 << 10;

/// The number of the next call, from 1, unique in the process: later facts refer to a call by it.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);
