//! A completion, as one document or as the chunks of a stream, and what it says. Completions of
//! texts and embeddings report the same figures in the same places.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::refusal::{DETAILS, Detail, ErrorObject, Limits};
use super::usage::{CHAT_COUNTS, Count, Counts, REPORTS, Reading, USAGE_REPORTS};
use crate::dialect::answer::{ReadAnswer, Said, take_later, unless_said};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::{id, model};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Completion {
    limits: Limits,
    /// What the complete documents have said.
    said: Document,
    /// `[DONE]` has come.
    is_done: bool,
    /// The document that is being read.
    current: Document,
}

/// What one document says, or several in order.
#[derive(Debug, Default)]
struct Document {
    counts: Counts,
    reports: Reports,
    choices: Choices,
    /// The choice that is being read.
    choice: Choice,
    finish_reason: Option<Id>,
    model: Option<Model>,
    response: Option<Id>,
    error: Option<ErrorObject>,
    has_content: bool,
}

/// One of the answers to the same request.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    index: u32,
    has_stopped: bool,
}

/// How far all of them have come: a bit for each. No provider allows more than 128.
#[derive(Debug, Clone, Copy, Default)]
struct Choices {
    begun: u128,
    stopped: u128,
}

impl Choices {
    fn add(&mut self, choice: Choice) {
        let bit = 1 << choice.index.min(u128::BITS - 1);
        self.begun |= bit;
        if choice.has_stopped {
            self.stopped |= bit;
        }
    }

    fn merge(&mut self, later: Self) {
        self.begun |= later.begun;
        self.stopped |= later.stopped;
    }

    fn have_all_stopped(self) -> bool {
        self.begun != 0 && self.begun == self.stopped
    }
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChatField {
    /// An element of `choices[]`.
    Choice,
    /// Its place among the others.
    ChoiceIndex,
    /// A value that is content by being there.
    Content,
    Count(Count),
    Detail(Detail),
    Error,
    FinishReason,
    Model,
    Report(Report),
    Response,
    /// A text that is content unless it is empty.
    Text,
}

static PATHS: LazyLock<Paths<ChatField>> = LazyLock::new(|| {
    // Groq reports figures in a place of its own, Moonshot inside a choice.
    let counts = ["usage.", "x_groq.usage.", "choices[].usage."]
        .into_iter()
        .flat_map(|place| {
            let counts = CHAT_COUNTS
                .map(|(name, count)| (format!("{place}{name}"), ChatField::Count(count)));
            let reports = USAGE_REPORTS
                .map(|(name, report)| (format!("{place}{name}"), ChatField::Report(report)));
            counts.into_iter().chain(reports)
        });
    let reports = REPORTS.map(|(path, report)| (path.to_owned(), ChatField::Report(report)));
    // Google wraps an error into an array.
    let errors = ["error", "[].error"].into_iter().flat_map(|place| {
        let details =
            DETAILS.map(|(name, detail)| (format!("{place}.{name}"), ChatField::Detail(detail)));
        details
            .into_iter()
            .chain([(place.to_owned(), ChatField::Error)])
    });
    let others = OTHERS.map(|(path, field)| (path.to_owned(), field));
    let texts = TEXTS.map(|name| (format!("choices[].{name}"), ChatField::Text));
    Paths::new(
        counts
            .chain(reports)
            .chain(errors)
            .chain(others)
            .chain(texts),
    )
});

const OTHERS: [(&str, ChatField); 11] = [
    ("id", ChatField::Response),
    ("model", ChatField::Model),
    ("choices[]", ChatField::Choice),
    ("choices[].index", ChatField::ChoiceIndex),
    ("choices[].finish_reason", ChatField::FinishReason),
    ("choices[].message", ChatField::Content),
    // Mistral writes what is more than text as parts.
    ("choices[].delta.content[]", ChatField::Content),
    ("choices[].delta.tool_calls[]", ChatField::Content),
    ("choices[].delta.function_call", ChatField::Content),
    ("choices[].delta.audio", ChatField::Content),
    // Of embeddings.
    ("data[]", ChatField::Content),
];

/// The texts of a choice, of which most chunks have one. Providers name reasoning differently.
const TEXTS: [&str; 6] = [
    "text",
    "delta.content",
    "delta.reasoning",
    "delta.reasoning_content",
    "delta.reasoning_text",
    "delta.refusal",
];

impl Document {
    /// Takes a value, unless the documents before have `said` the same.
    fn take(&mut self, field: ChatField, value: &Value<'_>, said: &Self) {
        match (field, value) {
            (ChatField::Choice, Value::Object) => self.choice = Choice::default(),
            (ChatField::Choice, Value::End) => self.choices.add(std::mem::take(&mut self.choice)),
            (ChatField::Content, Value::Object | Value::String { .. }) => self.has_content = true,
            (ChatField::Error, Value::Object | Value::String { .. }) => {
                self.error.get_or_insert_default();
            }
            (_, Value::End | Value::Null)
            | (ChatField::Choice | ChatField::Content | ChatField::Error, _) => {}
            (ChatField::ChoiceIndex, Value::Number(text)) => {
                self.choice.index = text.parse().unwrap_or(u32::MAX);
            }
            (ChatField::Count(count), _) => self.counts.take(count, value),
            (ChatField::Detail(detail), _) => {
                self.error.get_or_insert_default().take(detail, value)
            }
            (ChatField::FinishReason, _) => {
                let reason = id(*value);
                self.choice.has_stopped |= reason.is_some();
                take_later(&mut self.finish_reason, reason);
            }
            (ChatField::Model, _) => {
                self.model = unless_said(&said.model, Model::as_str, value, model)
            }
            (ChatField::Report(which), _) => self.reports.take(which, value),
            (ChatField::Response, _) => {
                self.response = unless_said(&said.response, Id::as_str, value, id);
            }
            (ChatField::Text, Value::String { text, cut }) => {
                self.has_content |= *cut || !text.is_empty();
            }
            (ChatField::ChoiceIndex | ChatField::Text, _) => {}
        }
    }

    fn merge(&mut self, later: Self) {
        self.counts.merge(later.counts);
        self.reports.merge(later.reports);
        self.choices.merge(later.choices);
        take_later(&mut self.finish_reason, later.finish_reason);
        take_later(&mut self.model, later.model);
        take_later(&mut self.response, later.response);
        self.error = self.error.or(later.error);
    }
}

impl ReadAnswer for Completion {
    type Field = ChatField;

    fn paths(&self) -> &'static Paths<ChatField> {
        &PATHS
    }

    fn head(&mut self, head: &ResponseHead) {
        self.limits = Limits::of(head);
    }

    fn value(&mut self, field: ChatField, value: &Value<'_>) -> bool {
        self.current.take(field, value, &self.said);
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        let document = std::mem::take(&mut self.current);
        let has_content = document.has_content;
        self.said.merge(document);
        has_content
    }

    fn drop_document(&mut self) {
        self.current = Document::default();
    }

    fn done(&mut self) {
        self.is_done = true;
    }

    fn is_over(&self) -> bool {
        self.is_done || self.said.choices.have_all_stopped()
    }

    fn has_last_word(&self) -> bool {
        self.is_done
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
            finish_reason: self.said.finish_reason.clone(),
            served_model: self.said.model.clone(),
            response: self.said.response.clone(),
            reported: self.said.reports.read(),
            error: self.limits.refusal(self.said.error),
            ..Said::default()
        }
    }
}
