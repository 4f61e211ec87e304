//! Reads the frames of an answer, and puts together what they say. A frame counts once it is complete.

use std::mem::take;
use std::time::SystemTime;

use super::TRACE_ID;
use super::ending::{Candidate, Endings, block_name, finish_name};
use super::paths::{AnswerShape, Field, paths};
use super::refusal::ErrorObject;
use super::searches::Searches;
use super::split::SplitLists;
use super::usage::{Bears, GeminiUsage, Reading};
use crate::dialect::answer::{ReadAnswer, Said, is_text, take_later, unless_said};
use crate::dialect::request::{id, model};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model, Provider, Reported, ServerTools, ServiceTier};

/// What the frames of one answer say together.
#[derive(Debug)]
pub(in crate::dialect) struct Answer {
    provider: Provider,
    shape: AnswerShape,
    /// What the whole frames have said.
    said: Frame,
    /// The frame that is being read.
    current: Frame,
    /// The provider's trace by the head of the response.
    header_trace: Option<Id>,
}

/// What one frame says, or several in order.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Frame {
    /// The counts so far.
    usage: GeminiUsage,
    /// How they are split by modality.
    splits: SplitLists,
    /// Why the model stopped, or why the prompt was blocked.
    pub(in crate::dialect) finish_reason: Option<Id>,
    /// The model that answers.
    pub(in crate::dialect) served_model: Option<Model>,
    /// How urgently the call is served.
    service_tier: Option<ServiceTier>,
    /// Searches of the web that the model has made.
    searches: Searches,
    /// The provider's id of the response.
    pub(in crate::dialect) response: Option<Id>,
    /// The provider's trace.
    pub(in crate::dialect) trace: Option<Id>,
    /// The error that came instead of an answer, or inside it.
    pub(in crate::dialect) error: Option<ErrorObject>,
    /// How far its candidates have come.
    endings: Endings,
    /// The candidate that is being read.
    candidate: Candidate,
    /// What it bears besides figures.
    bears: Bears,
    /// What the part bears that is being read.
    part: Part,
}

/// A part of a candidate's content.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    has_content: bool,
    is_thought: bool,
}

impl Answer {
    /// An answer of which nothing has been seen.
    pub(in crate::dialect) fn new(provider: Provider, shape: AnswerShape) -> Self {
        Self {
            provider,
            shape,
            said: Frame::default(),
            current: Frame::default(),
            header_trace: None,
        }
    }
}

impl ReadAnswer for Answer {
    type Field = Field;

    fn paths(&self) -> &'static Paths<Field> {
        paths(self.shape)
    }

    fn head(&mut self, head: &ResponseHead) {
        self.header_trace = head.fields.get(TRACE_ID).and_then(Id::from_wire);
    }

    fn value(&mut self, field: Field, value: &Value<'_>) -> bool {
        if field == Field::Element {
            return *value == Value::End && self.end_document(None);
        }
        self.current.take(field, value, self.provider, &self.said);
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        self.current.end_part();
        self.current.end_candidate();
        let has_content = self.current.bears.is_something();
        self.said.merge(&mut self.current);
        has_content
    }

    fn drop_document(&mut self) {
        self.current = Frame::default();
    }

    fn end_broken_document(&mut self) -> bool {
        let error = take(&mut self.current).error;
        let has_error = error.is_some();
        self.said.error = self.said.error.take().or(error);
        has_error
    }

    fn is_over(&self) -> bool {
        self.said.endings.are_all_over()
    }

    fn said(&self, now: SystemTime) -> Said {
        let said = self.said.said(now);
        Said {
            trace: said.trace.or_else(|| self.header_trace.clone()),
            ..said
        }
    }
}

impl Frame {
    /// What the counts mean.
    pub(in crate::dialect) fn reading(&self) -> Reading {
        self.usage.read(self.bears)
    }

    /// Whether it has a piece of content.
    pub(super) fn has_content(&self) -> bool {
        self.bears.is_something()
    }

    /// What the frames say together.
    pub(super) fn said(&self, now: SystemTime) -> Said {
        let Reading {
            usage,
            total,
            is_sound,
        } = self.reading();
        Said {
            usage,
            total,
            is_sound,
            modalities: self.splits.read(),
            finish_reason: self.finish_reason.clone(),
            served_model: self.served_model.clone(),
            response: self.response.clone(),
            trace: self.trace.clone(),
            error: self.error.map(|error| error.read(now)),
            reported: Reported {
                service_tier: self.service_tier,
                server_tools: ServerTools {
                    web_searches: self.searches.read(),
                    web_fetches: None,
                },
                ..Reported::default()
            },
            ..Said::default()
        }
    }

    /// Takes a value, unless the frames before have `said` the same.
    pub(super) fn take(
        &mut self,
        field: Field,
        value: &Value<'_>,
        provider: Provider,
        said: &Self,
    ) {
        match (field, value) {
            (Field::Candidate, Value::Object) => self.candidate = Candidate::default(),
            (Field::Candidate, Value::End) => self.end_candidate(),
            (Field::Part, Value::Object) => self.part = Part::default(),
            (Field::Part, Value::End) => self.end_part(),
            (Field::Search(part), _) => self.searches.take(part, value),
            (Field::Split(list, part), _) => self.splits.take(list, part, value),
            (_, Value::End | Value::Null)
            | (Field::Candidate | Field::Element | Field::Part, _) => {}
            (Field::BlockReason, _) => self.block(block_name(*value)),
            (Field::CandidateIndex, Value::Number(text)) => {
                self.candidate.index = text.parse().ok()
            }
            (Field::Content, _) => self.part.has_content = true,
            (Field::Count(count), _) => self.usage.take(count, value),
            (Field::Detail(detail), _) => self.error.get_or_insert_default().take(detail, *value),
            (Field::Error, _) => _ = self.error.get_or_insert_default(),
            (Field::FinishReason, _) if self.repeats_reason(value, said) => {
                self.candidate.is_finished = true;
            }
            (Field::FinishReason, _) => self.finish(finish_name(*value, provider)),
            (Field::IsThought, _) => self.part.is_thought = *value == Value::Bool(true),
            (Field::Response, _) => {
                self.response = unless_said(&said.response, Id::as_str, value, id)
            }
            (Field::ServedModel, _) => {
                self.served_model = unless_said(&said.served_model, Model::as_str, value, model);
            }
            (Field::ServiceTier, Value::String { text, .. }) => {
                self.service_tier = tier_of_name(text);
            }
            (Field::Status, Value::String { text, .. }) => self.status(text),
            (Field::Text, Value::String { text, cut }) => {
                self.part.has_content |= *cut || !text.is_empty()
            }
            (Field::ThoughtText, Value::String { text, cut }) => {
                self.part = Part {
                    has_content: *cut || !text.is_empty(),
                    is_thought: true,
                };
            }
            (Field::Trace, _) => self.trace = unless_said(&said.trace, Id::as_str, value, id),
            (Field::TrafficType, Value::String { text, .. }) => {
                self.service_tier = tier_of_traffic(text);
            }
            (
                Field::CandidateIndex
                | Field::ServiceTier
                | Field::Status
                | Field::Text
                | Field::ThoughtText
                | Field::TrafficType,
                _,
            ) => {}
        }
    }

    /// Whether the value is the reason to stop that the frames before have `said`, and this frame
    /// has given no other: some models write one into every frame.
    fn repeats_reason(&self, value: &Value<'_>, said: &Self) -> bool {
        let said = said.finish_reason.as_ref();
        self.finish_reason.is_none() && said.is_some_and(|said| is_text(value, said.as_str()))
    }

    /// The model has stopped writing the candidate for this reason, when it is one.
    fn finish(&mut self, reason: Option<Id>) {
        self.candidate.is_finished |= reason.is_some();
        take_later(&mut self.finish_reason, reason);
    }

    /// The prompt was refused for this reason, when it is one.
    fn block(&mut self, reason: Option<Id>) {
        self.endings.is_blocked |= reason.is_some();
        self.finish_reason = self.finish_reason.take().or(reason);
    }

    /// The status of an interaction.
    fn status(&mut self, text: &str) {
        match text {
            "failed" => _ = self.error.get_or_insert_default(),
            _ if FINAL_STATUSES.contains(&text) => self.finish(Id::from_wire(text)),
            // `in_progress`, `queued`, and whatever may be added: clients go on waiting.
            _ => {}
        }
    }

    pub(super) fn end_part(&mut self) {
        let Part {
            has_content,
            is_thought,
        } = take(&mut self.part);
        self.bears.thought |= has_content && is_thought;
        self.bears.output |= has_content && !is_thought;
        self.candidate.has_content |= has_content;
    }

    fn end_candidate(&mut self) {
        self.endings.add(take(&mut self.candidate));
    }

    /// Takes everything that a later frame says out of it, whose last candidate has ended. In place:
    /// there are a hundred frames in a second, and a frame is large to move.
    pub(super) fn merge(&mut self, later: &mut Self) {
        self.usage.merge(take(&mut later.usage));
        self.splits.merge(&mut later.splits);
        self.searches.merge(take(&mut later.searches));
        self.endings.merge(take(&mut later.endings));
        self.bears.merge(take(&mut later.bears));
        replace(&mut self.finish_reason, &mut later.finish_reason);
        replace(&mut self.served_model, &mut later.served_model);
        replace(&mut self.service_tier, &mut later.service_tier);
        replace(&mut self.response, &mut later.response);
        replace(&mut self.trace, &mut later.trace);
        if let Some(error) = later.error.take() {
            self.error.get_or_insert(error);
        }
    }
}

/// The tier that a `ServiceTier` names, in capitals or in small letters.
fn tier_of_name(name: &str) -> Option<ServiceTier> {
    let name = name.to_ascii_lowercase();
    (!name.ends_with("unspecified")).then(|| ServiceTier::from_wire(&name))
}

/// The tier that a `TrafficType` of Vertex AI stands for.
fn tier_of_traffic(name: &str) -> Option<ServiceTier> {
    match name {
        "ON_DEMAND" => Some(ServiceTier::Standard),
        "ON_DEMAND_FLEX" => Some(ServiceTier::Flex),
        "ON_DEMAND_PRIORITY" => Some(ServiceTier::Priority),
        "PROVISIONED_THROUGHPUT" => Some(ServiceTier::Scale),
        _ if name.ends_with("_UNSPECIFIED") => None,
        // Off-peak, and whatever may be added.
        _ => Some(ServiceTier::Other),
    }
}

/// The statuses of an interaction in which it does not go on by itself (Interactions API,
/// `Interaction.status`).
const FINAL_STATUSES: [&str; 5] = [
    "budget_exceeded",
    "cancelled",
    "completed",
    "incomplete",
    "requires_action",
];

/// Replaces what was said by what is said now, if anything is.
fn replace<T>(said: &mut Option<T>, now: &mut Option<T>) {
    if now.is_some() {
        *said = now.take();
    }
}
