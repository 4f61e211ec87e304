//! The interface for answers: a dialect reads the JSON of an answer ([`ReadAnswer`]) and reports what
//! it says in terms that all dialects share ([`Said`]).

use std::time::{Duration, SystemTime};

use super::limits::Limit;
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::{ExchangeEnd, ResponseHead};
use crate::observe::json::{Paths, Value};
use crate::observe::memory::Memory;
use crate::record::{
    Id, ModalitySplits, Model, ObserverFailure, Provider, QuotaWindow, RateLimit, RateLimitReason,
    Reported, TokenUsage, TurnEnd, UsageTotal,
};

/// Reads the JSON documents of one answer: a single one, the elements of an array, lines, or the
/// data of events. What a document says counts when all of it has been read.
pub(super) trait ReadAnswer: Send {
    /// What is read of a document.
    type Field: Copy + Send + Sync + 'static;

    /// Where the values stand that are read.
    fn paths(&self) -> &'static Paths<Self::Field>;

    /// Takes the head of the response, before its body.
    fn head(&mut self, _: &ResponseHead) {}

    /// Takes a value of the current document. Returns whether it completed a part of the answer
    /// that has content.
    fn value(&mut self, field: Self::Field, value: &Value<'_>) -> bool;

    /// The current document is complete. `event` is the name of the event whose data it was, if it
    /// has one. Returns whether it has content.
    fn end_document(&mut self, event: Option<&str>) -> bool;

    /// The current document is not JSON, or is cut off: what it said does not count.
    fn drop_document(&mut self);

    /// The same, where a broken document still reports an error. Returns whether it did.
    fn end_broken_document(&mut self) -> bool {
        self.drop_document();
        false
    }

    /// The event `[DONE]` has come, after which nothing follows.
    fn done(&mut self) {}

    /// Whether everything that has begun has also finished. Content may still follow until the
    /// message ends.
    fn is_over(&self) -> bool;

    /// Whether the mark has come with which this dialect ends an answer. The answer is complete
    /// then, however the connection ends.
    fn has_last_word(&self) -> bool {
        false
    }

    /// What the complete documents say. `now` is the time from which the duration of a limit is
    /// counted.
    fn said(&self, now: SystemTime) -> Said;
}

/// What an answer says, whichever dialect it is in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    /// The HTTP status that an error inside of the answer names, where the answer has none.
    pub(super) status: Option<u16>,
    /// The tokens of the model that was asked.
    pub(super) usage: TokenUsage,
    /// How the provider's own total compares with them.
    pub(super) total: UsageTotal,
    /// What they stand for, as it is reported: a split may exceed its sum.
    pub(super) modalities: ModalitySplits,
    /// Nothing contradicts them, and everything that was generated is counted.
    pub(super) is_sound: bool,
    /// Other models that answered a part of the same exchange, and their tokens.
    pub(super) other_models: Vec<(Model, TokenUsage)>,
    /// Why the model stopped.
    pub(super) finish_reason: Option<Id>,
    /// Whether its agent's turn is over.
    pub(super) turn_end: TurnEnd,
    /// How many calls of tools it asks its agent for.
    pub(super) tool_calls: u32,
    /// The provider has shortened the conversation before it went on to answer.
    pub(super) is_compacted: bool,
    /// The model that answered.
    pub(super) served_model: Option<Model>,
    /// The provider's id of the response.
    pub(super) response: Option<Id>,
    /// The provider's trace.
    pub(super) trace: Option<Id>,
    /// What it reports beside tokens.
    pub(super) reported: Reported,
    /// What its body tells of limits.
    pub(super) limits: Vec<Limit>,
    /// The error that came instead of an answer, or inside it.
    pub(super) error: Option<Refusal>,
}

/// Why a provider refused, as its error says. Its message is never read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A quota, a rate or the capacity is used up.
    pub(super) is_limit: bool,
    /// Which of them.
    pub(super) reason: RateLimitReason,
    /// How long the agent should wait.
    pub(super) retry_after: Option<Duration>,
    /// When the limit ends.
    pub(super) resets_at: Option<SystemTime>,
    /// The window of the quota that is used up, where it is the model's own.
    pub(super) window: Option<QuotaWindow>,
}

impl Refusal {
    /// The rate limit, when the refusal is one by its own words or by the status of the response.
    /// `retry_after` is the response's header field, which the body's own delay overrides.
    pub(super) fn rate_limit(
        &self,
        status: u16,
        retry_after: Option<Duration>,
    ) -> Option<RateLimit> {
        (status == 429 || self.is_limit).then(|| RateLimit {
            reason: self.reason,
            retry_after: self.retry_after.or(retry_after),
            resets_at: self.resets_at,
        })
    }
}

/// What is known of a response when its body begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerHead<'a> {
    /// Who was asked.
    pub(super) provider: Provider,
    /// Its head.
    pub(super) head: &'a ResponseHead,
    /// The request asked for events, so that a body without a label is a stream of them.
    pub(super) expects_events: bool,
    /// The budget for the windows of decoders.
    pub(super) memory: &'a Memory,
}

/// What a reader has made of the next bytes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fed {
    /// How many of them it has read; those that are left must come again.
    pub(super) read: usize,
    /// How many parts with content they completed.
    pub(super) contents: usize,
}

/// Reads the body of one response, whatever its form.
pub(super) trait ReadBody: Send {
    /// Reads the next bytes, until the limit is reached.
    fn feed(&mut self, bytes: &[u8], limit: &mut DecodeLimit) -> Fed;

    /// No more bytes follow. Returns how many parts with content this completed.
    fn finish(&mut self, end: ExchangeEnd) -> usize;

    /// Why part of the body could not be read, if so.
    fn failure(&self) -> Option<ObserverFailure>;

    /// Whether the body is a stream of parts.
    fn is_stream(&self) -> bool;

    /// Whether all of the answer has been seen.
    fn is_whole(&self, end: ExchangeEnd) -> bool;

    /// What it says. `now` is the time from which the duration of a limit is counted.
    fn said(&self, now: SystemTime) -> Said;
}

/// Takes a later value of the same field, if there is one: the last word counts.
pub(super) fn take_later<T>(known: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *known = later;
    }
}

/// Whether the value is this text.
pub(super) fn is_text(value: &Value<'_>, text: &str) -> bool {
    *value == Value::String { text, cut: false }
}

/// The value as `read` reads it; `None` if it is the one that is known already, since an answer may
/// repeat its model in each of a thousand documents.
pub(super) fn unless_said<T>(
    said: &Option<T>,
    as_str: impl Fn(&T) -> &str,
    value: &Value<'_>,
    read: impl Fn(Value<'_>) -> Option<T>,
) -> Option<T> {
    let is_said = said
        .as_ref()
        .is_some_and(|said| is_text(value, as_str(said)));
    if is_said { None } else { read(*value) }
}
