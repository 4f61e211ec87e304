//! A reply, in one document or in several one after another, and what it says.

use std::sync::LazyLock;
use std::time::SystemTime;

use crate::dialect::answer::{ReadAnswer, Refusal, Said, take_later};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::{id, model};
use crate::dialect::tokens::count;
use crate::observe::json::{Paths, Value};
use crate::record::TokenKind::{Input, Output};
use crate::record::{Id, Model, TokenUsage};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// What the complete documents have said.
    said: Document,
    /// The document that is being read.
    current: Document,
}

/// What one document says, or several in order.
#[derive(Debug, Default)]
struct Document {
    /// In tokens.
    input: Option<u64>,
    /// In tokens.
    output: Option<u64>,
    /// Nothing follows, and only this document has counts.
    is_done: bool,
    /// It holds vectors, which are no output.
    is_embedding: bool,
    finish_reason: Option<Id>,
    model: Option<Model>,
    reports: Reports,
    is_error: bool,
    has_content: bool,
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A value that is content by being there, and not empty.
    Content,
    Done,
    DoneReason,
    /// The vectors.
    Embedding,
    Error,
    Input,
    Model,
    Output,
    /// The time from the request to the end of the answer.
    TotalDuration,
}

static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    Paths::new([
        ("done", Field::Done),
        ("done_reason", Field::DoneReason),
        ("embeddings", Field::Embedding),
        ("error", Field::Error),
        ("eval_count", Field::Output),
        ("message.content", Field::Content),
        ("message.thinking", Field::Content),
        ("message.tool_calls[]", Field::Content),
        ("model", Field::Model),
        ("prompt_eval_count", Field::Input),
        ("response", Field::Content),
        ("thinking", Field::Content),
        ("total_duration", Field::TotalDuration),
    ])
});

impl Document {
    fn take(&mut self, field: Field, value: &Value<'_>) {
        match (field, value) {
            (_, Value::End | Value::Null) | (Field::Content, Value::String { text: "", .. }) => {}
            (Field::Content, Value::Object | Value::String { .. }) => self.has_content = true,
            (Field::Content, _) => {}
            (Field::Done, _) => self.is_done = *value == Value::Bool(true),
            (Field::DoneReason, _) => self.finish_reason = id(*value),
            (Field::Embedding, Value::Array) => {
                self.is_embedding = true;
                self.is_done = true;
            }
            (Field::Embedding, _) => {}
            (Field::Error, _) => self.is_error = true,
            (Field::Input, _) => self.input = count(value),
            (Field::Model, _) => self.model = model(*value),
            (Field::Output, _) => self.output = count(value),
            (Field::TotalDuration, _) => self.reports.take(Report::TotalNanoseconds, value),
        }
    }

    fn merge(&mut self, later: Self) {
        self.input = later.input.or(self.input);
        self.output = later.output.or(self.output);
        self.is_done |= later.is_done;
        self.is_embedding |= later.is_embedding;
        take_later(&mut self.finish_reason, later.finish_reason);
        take_later(&mut self.model, later.model);
        self.reports.merge(later.reports);
        self.is_error |= later.is_error;
    }
}

impl ReadAnswer for Reply {
    type Field = Field;

    fn paths(&self) -> &'static Paths<Field> {
        &PATHS
    }

    fn value(&mut self, field: Field, value: &Value<'_>) -> bool {
        self.current.take(field, value);
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

    fn is_over(&self) -> bool {
        self.said.is_done
    }

    fn has_last_word(&self) -> bool {
        self.said.is_done
    }

    fn said(&self, _: SystemTime) -> Said {
        let Document {
            input,
            output,
            finish_reason,
            model,
            reports,
            is_embedding,
            is_error,
            ..
        } = &self.said;
        Said {
            usage: TokenUsage::default()
                .with(Input, *input)
                .with(Output, *output),
            // A prompt that was kept from the call before has no count.
            is_sound: input.is_some() && (output.is_some() || *is_embedding),
            finish_reason: finish_reason.clone(),
            served_model: model.clone(),
            reported: reports.read(),
            error: is_error.then(Refusal::default),
            ..Said::default()
        }
    }
}
