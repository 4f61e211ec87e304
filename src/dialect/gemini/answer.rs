//! The frames of an answer in, what they say together out. A frame counts when it is whole.

use std::sync::LazyLock;

use super::refusal::{Detail, Refusal};
use super::usage::{Count, GeminiUsage};
use crate::dialect::request::{id, model};
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model};

/// What the frames of one answer say together.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Answer {
    /// What the whole frames have said.
    said: Frame,
    /// The frame that is being read.
    current: Frame,
}

/// What one frame says, or several in order.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Frame {
    /// The counts so far.
    pub(in crate::dialect) usage: GeminiUsage,
    /// Why the model stopped, or why the prompt was blocked.
    pub(in crate::dialect) finish_reason: Option<Id>,
    /// The model that answers.
    pub(in crate::dialect) served_model: Option<Model>,
    /// The provider's id of the response.
    pub(in crate::dialect) response: Option<Id>,
    /// The provider's trace.
    pub(in crate::dialect) trace: Option<Id>,
    /// The error that came instead of an answer, or inside it.
    pub(in crate::dialect) error: Option<Refusal>,
    /// Text, a thought, a function call or data.
    has_content: bool,
}

/// What the house reads of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Field {
    BlockReason,
    /// A part of the answer that is content by being there.
    Content,
    Count(Count),
    Detail(Detail),
    /// An element of the array in which a stream without `alt=sse` comes: one frame.
    Element,
    Error,
    FinishReason,
    Response,
    ServedModel,
    /// A part of the answer that is content unless it is empty.
    Text,
    Trace,
}

impl Answer {
    /// Takes a value of the current frame. Returns whether it completed a frame that bears content.
    pub(in crate::dialect) fn take(&mut self, field: Field, value: &Value<'_>) -> bool {
        if field == Field::Element {
            return *value == Value::End && self.end_frame();
        }
        self.current.take(field, value, &self.said);
        false
    }

    /// The current frame is whole. Returns whether it bears content.
    pub(in crate::dialect) fn end_frame(&mut self) -> bool {
        self.said.merge(&mut self.current);
        std::mem::take(&mut self.current.has_content)
    }

    /// The current frame will never be whole.
    pub(in crate::dialect) fn drop_frame(&mut self) {
        self.current = Frame::default();
    }

    /// What the whole frames have said.
    pub(in crate::dialect) fn said(&self) -> &Frame {
        &self.said
    }
}

impl Frame {
    /// Takes a value, unless the frames before have `said` the same.
    fn take(&mut self, field: Field, value: &Value<'_>, said: &Self) {
        match (field, value) {
            (_, Value::End | Value::Null) | (Field::Element, _) => {}
            (Field::BlockReason, _) => self.finish_reason = self.finish_reason.take().or(id(*value)),
            (Field::Content, _) => self.has_content = true,
            (Field::Count(count), _) => self.usage.take(count, value),
            (Field::Detail(detail), _) => self.error.get_or_insert_default().take(detail, *value),
            (Field::Error, _) => _ = self.error.get_or_insert_default(),
            (Field::FinishReason, _) => self.finish_reason = id(*value).or(self.finish_reason.take()),
            (Field::Response, _) => self.response = unless_said(&said.response, Id::as_str, value, id),
            (Field::ServedModel, _) => {
                self.served_model = unless_said(&said.served_model, Model::as_str, value, model);
            }
            (Field::Text, Value::String { text, cut }) => self.has_content |= *cut || !text.is_empty(),
            (Field::Text, _) => {}
            (Field::Trace, _) => self.trace = unless_said(&said.trace, Id::as_str, value, id),
        }
    }

    /// Takes everything that a later frame says.
    fn merge(&mut self, later: &mut Self) {
        self.usage.merge(std::mem::take(&mut later.usage));
        replace(&mut self.finish_reason, &mut later.finish_reason);
        replace(&mut self.served_model, &mut later.served_model);
        replace(&mut self.response, &mut later.response);
        replace(&mut self.trace, &mut later.trace);
        if let Some(error) = later.error.take() {
            self.error.get_or_insert(error);
        }
    }
}

/// Replaces what was said by what is said now, if anything is.
fn replace<T>(said: &mut Option<T>, now: &mut Option<T>) {
    if now.is_some() {
        *said = now.take();
    }
}

/// What the value says, unless it was said before: an answer names its model in each of a thousand frames.
fn unless_said<T>(
    said: &Option<T>,
    as_str: impl Fn(&T) -> &str,
    value: &Value<'_>,
    read: impl Fn(Value<'_>) -> Option<T>,
) -> Option<T> {
    let is_said = said.as_ref().is_some_and(|said| *value == Value::String { text: as_str(said), cut: false });
    if is_said { None } else { read(*value) }
}

/// Every path, bare and in Cloud Code's wrapper, alone and in an array, in camelCase and in snake_case.
pub(in crate::dialect) static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let places = ["", "response.", "[].", "[].response."];
    let everywhere = |(path, field)| places.map(|place| (format!("{place}{path}"), field));
    let both_cases = |(path, field): (String, Field)| [(snake_case(&path), field), (path, field)];
    let frames = [("[]".to_owned(), Field::Element)];
    Paths::new(frames.into_iter().chain(FIELDS.into_iter().flat_map(everywhere).flat_map(both_cases)))
});

const FIELDS: [(&str, Field); 25] = [
    ("candidates[].content.parts[].text", Field::Text),
    ("candidates[].content.parts[].codeExecutionResult", Field::Content),
    ("candidates[].content.parts[].executableCode", Field::Content),
    ("candidates[].content.parts[].fileData", Field::Content),
    ("candidates[].content.parts[].functionCall", Field::Content),
    ("candidates[].content.parts[].functionResponse", Field::Content),
    ("candidates[].content.parts[].inlineData", Field::Content),
    ("candidates[].finishReason", Field::FinishReason),
    ("promptFeedback.blockReason", Field::BlockReason),
    ("modelVersion", Field::ServedModel),
    ("responseId", Field::Response),
    ("traceId", Field::Trace),
    ("usageMetadata.promptTokenCount", Field::Count(Count::Prompt)),
    ("usageMetadata.cachedContentTokenCount", Field::Count(Count::Cached)),
    ("usageMetadata.candidatesTokenCount", Field::Count(Count::Candidates)),
    // The Live API's name for the same.
    ("usageMetadata.responseTokenCount", Field::Count(Count::Candidates)),
    ("usageMetadata.thoughtsTokenCount", Field::Count(Count::Thoughts)),
    ("usageMetadata.toolUsePromptTokenCount", Field::Count(Count::ToolUsePrompt)),
    ("error", Field::Error),
    ("error.code", Field::Detail(Detail::Code)),
    ("error.status", Field::Detail(Detail::Status)),
    ("error.details[].reason", Field::Detail(Detail::Reason)),
    ("error.details[].retryDelay", Field::Detail(Detail::RetryDelay)),
    ("error.details[].metadata.quotaResetDelay", Field::Detail(Detail::ResetDelay)),
    ("error.details[].metadata.quotaResetTimeStamp", Field::Detail(Detail::ResetTime)),
];

fn snake_case(path: &str) -> String {
    path.chars().fold(String::new(), |mut snake, c| {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        snake
    })
}
