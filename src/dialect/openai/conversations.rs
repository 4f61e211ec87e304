//! An answer of Mistral's Conversations, as one document or as the events of a stream, and what it
//! says.
//!
//! `usage` counts what tools of the provider have added (`connector_tokens`) beside the prompt; the
//! total includes it. Nothing says why the model stopped.
//!
//! Source: mistralai/client-python `docs/models` (`ConversationResponse`, `ConversationEvents`).

use std::sync::LazyLock;
use std::time::SystemTime;

use super::refusal::{Detail, ErrorObject, Limits};
use super::usage::{Count, Counts, Reading};
use crate::dialect::answer::{ReadAnswer, Said, take_later};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::{id, model};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Conversation {
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
    model: Option<Model>,
    response: Option<Id>,
    error: Option<ErrorObject>,
    has_text: bool,
}

/// What a document is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// An event with a piece of content.
    Delta,
    /// The event with the figures, after which nothing follows.
    Done,
    /// An event that is an error, after which nothing follows.
    Error,
    /// Any other event, or an error instead of an answer.
    #[default]
    Other,
    /// No event, but the whole answer.
    Whole,
}

impl Kind {
    fn of_event(name: &str) -> Self {
        match name {
            "conversation.response.done" => Self::Done,
            "conversation.response.error" => Self::Error,
            "function.call.delta" | "message.output.delta" => Self::Delta,
            _ => Self::Other,
        }
    }
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConversationField {
    Count(Count),
    /// The code of an event that is an error.
    ErrorCode,
    Model,
    /// What kind of document it is, where it is no event.
    Object,
    Report(Report),
    /// The id of an entry of the answer: the last one is its message.
    Response,
    /// A text of a delta, or a part of its content that is more than text.
    Text,
    /// What kind of event it is.
    Type,
}

static PATHS: LazyLock<Paths<ConversationField>> = LazyLock::new(|| {
    use ConversationField as Field;
    Paths::new([
        ("arguments", Field::Text),
        ("code", Field::ErrorCode),
        ("content", Field::Text),
        ("id", Field::Response),
        ("model", Field::Model),
        ("object", Field::Object),
        ("outputs[].id", Field::Response),
        ("outputs[].model", Field::Model),
        ("type", Field::Type),
        ("usage.completion_tokens", Field::Count(Count::Output)),
        ("usage.connector_tokens", Field::Count(Count::ToolInput)),
        (
            "usage.connectors.web_search",
            Field::Report(Report::WebSearches),
        ),
        ("usage.prompt_tokens", Field::Count(Count::Input)),
        ("usage.total_tokens", Field::Count(Count::Total)),
    ])
});

impl Document {
    fn take(&mut self, field: ConversationField, value: &Value<'_>) {
        match (field, value) {
            (_, Value::End | Value::Null) => {}
            (ConversationField::Count(count), _) => self.counts.take(count, value),
            (ConversationField::ErrorCode, _) => {
                self.error.get_or_insert_default().take(Detail::Name, value);
            }
            (ConversationField::Model, _) => self.model = model(*value).or(self.model.take()),
            (
                ConversationField::Object,
                Value::String {
                    text: "conversation.response",
                    ..
                },
            ) => self.kind = Kind::Whole,
            (ConversationField::Report(which), _) => self.reports.take(which, value),
            (ConversationField::Response, _) => self.response = id(*value),
            (ConversationField::Text, Value::String { text, cut }) => {
                self.has_text |= *cut || !text.is_empty();
            }
            (ConversationField::Text, Value::Object) => self.has_text = true,
            (ConversationField::Type, Value::String { text, .. }) => {
                self.kind = Kind::of_event(text);
            }
            (ConversationField::Object | ConversationField::Text | ConversationField::Type, _) => {}
        }
    }

    fn merge(&mut self, later: Self) {
        self.counts.merge(later.counts);
        self.reports.merge(later.reports);
        take_later(&mut self.model, later.model);
        take_later(&mut self.response, later.response);
        self.error = self.error.or(later.error);
    }
}

impl ReadAnswer for Conversation {
    type Field = ConversationField;

    fn paths(&self) -> &'static Paths<ConversationField> {
        &PATHS
    }

    fn head(&mut self, head: &ResponseHead) {
        self.limits = Limits::of(head);
    }

    fn value(&mut self, field: ConversationField, value: &Value<'_>) -> bool {
        self.current.take(field, value);
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        let mut document = std::mem::take(&mut self.current);
        match document.kind {
            Kind::Done | Kind::Whole => self.is_over = true,
            Kind::Error => {
                self.is_over = true;
                document.error.get_or_insert_default();
            }
            Kind::Delta | Kind::Other => {}
        }
        let has_content = document.kind == Kind::Delta && document.has_text;
        self.said.merge(document);
        has_content
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
        let Reading {
            usage,
            total,
            modalities,
            is_sound,
        } = self.said.counts.read();
        Said {
            usage,
            total,
            modalities,
            is_sound,
            served_model: self.said.model.clone(),
            response: self.said.response.clone(),
            reported: self.said.reports.read(),
            error: self.limits.refusal(self.said.error),
            ..Said::default()
        }
    }
}
