//! Exchanges in, calls and notices out: which request is a call to a model, which tells of calls,
//! models or quotas, and which of their bytes mean what.
//!
//! Each family of providers has one module that recognises its requests by the shape of their path,
//! lists the paths of the JSON values it reads, and turns its own usage figures into the house's
//! partition of tokens. Everything here is pure and lets prompts, completions and error messages
//! pass unread.
//!
//! Which wire field becomes which part of [`TokenUsage`](crate::record::TokenUsage):
//!
//! | part | Cloud Code, Gemini, Vertex AI (`usageMetadata`) | Interactions (`usage`) |
//! |---|---|---|
//! | `input` | `promptTokenCount` − `cachedContentTokenCount` (the prompt includes what was cached) | `total_input_tokens` − `total_cached_tokens` |
//! | `cache_read` | `cachedContentTokenCount` | `total_cached_tokens` |
//! | `cache_write` | not on the wire | not on the wire |
//! | `tool_input` | `toolUsePromptTokenCount` | `total_tool_use_tokens` |
//! | `output` | `candidatesTokenCount`, or `responseTokenCount` | `total_output_tokens` |
//! | `thinking` | `thoughtsTokenCount` | `total_thought_tokens` |
//!
//! That is the documented meaning; where the total that is reported beside the parts contradicts
//! it, other known ones are tried (`gemini::usage`). `predict` of text embeddings has the sum of
//! `predictions[].embeddings.statistics.token_count` as its `input`.
//!
//! Which wire field becomes which of the [`CallIds`](crate::record::CallIds):
//!
//! | id | Cloud Code |
//! |---|---|
//! | `request` | `requestId`; gemini-cli has `user_prompt_id` instead |
//! | `conversation`, `trajectory` | the UUIDs of `requestId`, where its form tells what they are |
//! | `unexplained` | the UUID of `requestId`, where its form does not (`checkpoint/<uuid>`) |
//! | `labelled_trajectory` | `request.labels.trajectory_id`, or the UUID of `request.labels.request_id` |
//! | `step` | `request.labels.last_step_index`, or the last number of `requestId` |
//! | `session`, `execution` | `request.sessionId`, `request.labels.last_execution_id` |
//! | `provider_trace`, `response` | `traceId` or the field `x-cloudaicompanion-trace-id`, `responseId` |
//!
//! A new family is a module, a line in `FAMILIES`, a column in this table and fixtures.

mod body;
#[doc(hidden)]
pub mod fuzz;
mod gemini;
mod notices;
mod observer;
pub mod quota;
mod request;
#[cfg(test)]
mod tests;
mod unread;
mod verdict;

use crate::observe::exchange::RequestHead;
use crate::observe::json::Paths;
use crate::record::{Host, Model, Operation, Provider};

pub use observer::Observers;
pub use request::RequestField;

/// A request that the house reads.
#[derive(Debug, Clone)]
pub enum Recognised {
    /// It is a call to a model.
    Call(CallHead),
    /// It calls no model, but tells of calls, models or quotas.
    Notice(Notice),
}

/// What the head of a call says of it.
#[derive(Debug, Clone)]
pub struct CallHead {
    /// Who is asked.
    pub provider: Provider,
    /// What the path says the call is for; the body may say it more closely.
    pub operation: Operation,
    /// The model that the path names.
    pub model: Option<Model>,
    /// Where the request's body holds what is read of it.
    pub request: &'static Paths<RequestField>,
    /// What its answer looks like.
    pub answer: AnswerShape,
}

/// The shape of an answer: where its figures stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerShape {
    /// Candidates and `usageMetadata`, in one document or many.
    Generation,
    /// An interaction, or events that tell of it.
    Interaction,
    /// Predictions, each with statistics of its own.
    Prediction,
}

/// What the head of a notice says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Who is told or asked.
    pub provider: Provider,
    /// What it tells.
    pub tells: Tells,
}

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// Its request names identifiers that belong together.
    Ids,
    /// Its response names models and what is left of quotas.
    Quotas,
}

/// Tells from the host and the head whether a request is read, and as what.
#[must_use]
pub fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    FAMILIES.iter().find_map(|family| family(host, head))
}

/// The families, each by what recognises its requests.
const FAMILIES: [fn(&Host, &RequestHead) -> Option<Recognised>; 1] = [gemini::recognise];
