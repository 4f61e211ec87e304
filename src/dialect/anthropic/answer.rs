//! A message, as one document or as the events of a stream, and what it says.

use std::time::SystemTime;

use super::paths::{Field, PATHS};
use super::refusal::{ErrorKind, Limits};
use super::usage::Counts;
use crate::dialect::answer::{ReadAnswer, Said, take_later};
use crate::dialect::reports::Reports;
use crate::dialect::request::{id, model};
use crate::dialect::tokens;
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model, TokenUsage, TurnEnd};

/// Reads one answer.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Message {
    limits: Limits,
    /// What the complete documents have said.
    said: Document,
    is_over: bool,
    /// The document that is being read.
    current: Document,
}

/// What one document says, or several in order.
#[derive(Debug, Default)]
struct Document {
    kind: Kind,
    counts: Counts,
    reports: Reports,
    /// Parts of the exchange that are not in the counts at the top.
    iterations: Vec<Iteration>,
    iteration: Iteration,
    has_iterations: bool,
    stop_reason: Option<Id>,
    model: Option<Model>,
    response: Option<Id>,
    error: Option<ErrorKind>,
    /// Tools that the agent is asked to call; `server_tool_use` is a call of the provider's own.
    tool_calls: u32,
    /// A part of it stands for a conversation that was shortened.
    has_compaction: bool,
    has_content: bool,
}

/// What a document is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    ContentDelta,
    Error,
    /// The whole message in one document.
    Message,
    MessageStop,
    #[default]
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "content_block_delta" => Self::ContentDelta,
            "error" => Self::Error,
            "message" => Self::Message,
            "message_stop" => Self::MessageStop,
            _ => Self::Other,
        }
    }
}

/// An entry of `usage.iterations[]`.
#[derive(Debug, Clone, Default)]
struct Iteration {
    kind: IterationKind,
    model: Option<Model>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum IterationKind {
    /// Another model that was asked for advice: it has a price of its own.
    Advisor,
    /// The conversation was shortened, by the model that answers.
    Compaction,
    /// Inside the counts at the top, or not billed.
    #[default]
    Other,
}

impl Document {
    fn take(&mut self, field: Field, value: &Value<'_>) {
        match (field, value) {
            (Field::Iteration, Value::Object) => {
                self.has_iterations = true;
                self.iteration = Iteration::default();
            }
            (Field::Iteration, Value::End) => self.end_iteration(),
            (Field::BlockType, Value::String { text, .. }) => {
                self.tool_calls += u32::from(*text == "tool_use");
                self.has_compaction |= *text == "compaction";
            }
            (Field::Content, Value::Object | Value::String { .. }) => self.has_content = true,
            (_, Value::End | Value::Null) | (Field::Iteration | Field::Content, _) => {}
            (Field::Count(count), _) => self.counts.take(count, value),
            (Field::ErrorType, Value::String { text, .. }) => {
                self.error = Some(ErrorKind::of(text));
            }
            (Field::IterationCount(count), _) => self.iteration.counts.take(count, value),
            (Field::IterationModel, _) => self.iteration.model = model(*value),
            (Field::IterationType, Value::String { text, .. }) => {
                self.iteration.kind = match *text {
                    "advisor_message" => IterationKind::Advisor,
                    "compaction" => IterationKind::Compaction,
                    _ => IterationKind::Other,
                }
            }
            (Field::Model, _) => self.model = model(*value),
            (Field::Report(which), _) => self.reports.take(which, value),
            (Field::Response, _) => self.response = id(*value),
            (Field::StopReason, _) => self.stop_reason = id(*value),
            (Field::Type, Value::String { text, .. }) => self.kind = Kind::of(text),
            (Field::BlockType | Field::ErrorType | Field::IterationType | Field::Type, _) => {}
        }
    }

    fn end_iteration(&mut self) {
        let iteration = std::mem::take(&mut self.iteration);
        let counts = iteration.kind != IterationKind::Other;
        if counts && self.iterations.len() < MAX_ITERATIONS {
            self.iterations.push(iteration);
        }
    }

    fn merge(&mut self, later: Self) {
        self.counts.merge(later.counts);
        self.reports.merge(later.reports);
        if later.has_iterations {
            self.iterations = later.iterations;
        }
        take_later(&mut self.stop_reason, later.stop_reason);
        take_later(&mut self.model, later.model);
        take_later(&mut self.response, later.response);
        self.error = self.error.or(later.error);
        self.tool_calls = self.tool_calls.saturating_add(later.tool_calls);
        self.has_compaction |= later.has_compaction;
    }

    /// The tokens of the model that was asked, and those of others.
    fn usage(&self) -> (TokenUsage, Vec<(Model, TokenUsage)>) {
        let mut usage = self.counts.read();
        let mut others: Vec<(Model, TokenUsage)> = Vec::new();
        for Iteration {
            kind,
            model,
            counts,
        } in &self.iterations
        {
            let counts = counts.read();
            let other = model.as_ref().filter(|_| *kind == IterationKind::Advisor);
            match other {
                None => tokens::add(&mut usage, &counts),
                Some(model) => match others.iter_mut().find(|(known, _)| known == model) {
                    Some((_, known)) => tokens::add(known, &counts),
                    None => others.push((model.clone(), counts)),
                },
            }
        }
        (usage, others)
    }
}

impl ReadAnswer for Message {
    type Field = Field;

    fn paths(&self) -> &'static Paths<Field> {
        &PATHS
    }

    fn head(&mut self, head: &ResponseHead) {
        self.limits = Limits::of(head);
        if head.fields.get(OVERAGE_IN_USE) == Some("true") {
            self.said.reports.take_overage();
        }
    }

    fn value(&mut self, field: Field, value: &Value<'_>) -> bool {
        self.current.take(field, value);
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        let document = std::mem::take(&mut self.current);
        let Document {
            kind, has_content, ..
        } = document;
        if kind == Kind::Error && document.error.is_none() {
            self.said.error = self.said.error.or(Some(ErrorKind::Other));
        }
        self.said.merge(document);
        self.is_over |= match kind {
            Kind::Message => self.said.stop_reason.is_some(),
            kind => kind == Kind::MessageStop,
        };
        has_content || kind == Kind::ContentDelta
    }

    fn drop_document(&mut self) {
        self.current = Document::default();
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn has_last_word(&self) -> bool {
        self.is_over
    }

    fn said(&self, _: SystemTime) -> Said {
        let (usage, other_models) = self.said.usage();
        let Document {
            stop_reason,
            model,
            response,
            reports,
            error,
            tool_calls,
            has_compaction,
            ..
        } = &self.said;
        Said {
            usage,
            is_sound: true,
            other_models,
            finish_reason: stop_reason.clone(),
            turn_end: stop_reason.as_ref().map(turn_end).unwrap_or_default(),
            tool_calls: *tool_calls,
            is_compacted: *has_compaction && !ends_with_compaction(stop_reason.as_ref()),
            served_model: model.clone(),
            response: response.clone(),
            reported: reports.read(),
            error: self.limits.refusal(*error),
            ..Said::default()
        }
    }
}

/// Whether the agent's turn is over when the model stops for this reason. One that ran out of its
/// output may be asked to go on.
fn turn_end(stop_reason: &Id) -> TurnEnd {
    match stop_reason.as_str() {
        "tool_use" | "pause_turn" | "compaction" => TurnEnd::GoesOn,
        "end_turn" | "stop_sequence" | "refusal" | "model_context_window_exceeded" => TurnEnd::Over,
        _ => TurnEnd::Unknown,
    }
}

/// Whether the model has stopped when the conversation was shortened, so that nothing has read what
/// was made of it.
fn ends_with_compaction(stop_reason: Option<&Id>) -> bool {
    stop_reason.is_some_and(|reason| reason.as_str() == "compaction")
}

/// Iterations that are kept of one answer; one with more than a few is not known.
const MAX_ITERATIONS: usize = 64;

/// Whether the call is paid for beyond what the subscription includes: `true` or `false`.
pub(super) const OVERAGE_IN_USE: &str = "anthropic-ratelimit-unified-overage-in-use";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::json::PathReader;

    /// Whether the turn is over after events with these data.
    fn turn_end_of(documents: &[&str]) -> TurnEnd {
        let mut message = Message::default();
        for document in documents {
            let mut reader = PathReader::new(message.paths());
            reader.feed(document.as_bytes(), &mut |field, value| {
                message.value(field, &value);
            });
            message.end_document(None);
        }
        message.said(SystemTime::UNIX_EPOCH).turn_end
    }

    #[test]
    fn the_reason_to_stop_tells_whether_the_turn_is_over() {
        for (reason, expected) in [
            ("tool_use", TurnEnd::GoesOn),
            // The agent sends the answer back, and the provider's own tools go on.
            ("pause_turn", TurnEnd::GoesOn),
            ("compaction", TurnEnd::GoesOn),
            ("end_turn", TurnEnd::Over),
            ("stop_sequence", TurnEnd::Over),
            ("refusal", TurnEnd::Over),
            ("model_context_window_exceeded", TurnEnd::Over),
            ("max_tokens", TurnEnd::Unknown),
            ("a later one", TurnEnd::Unknown),
        ] {
            let whole = format!(r#"{{"type":"message","stop_reason":"{reason}"}}"#);
            assert_eq!(turn_end_of(&[&whole]), expected, "{reason}");
            let delta =
                format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
            let start = r#"{"type":"message_start","message":{"stop_reason":null}}"#;
            let stop = r#"{"type":"message_stop"}"#;
            assert_eq!(turn_end_of(&[start, &delta, stop]), expected, "{reason}");
            assert_eq!(turn_end_of(&[start]), TurnEnd::Unknown);
        }
    }
}
