//! What the requests and answers of providers mean: which request is a call of a model, which reports
//! calls, models or quotas, and what their fields stand for.
//!
//! Each family of providers has one module that recognises its requests by the shape of their path,
//! lists the paths of the JSON values it reads, and turns its own usage figures into disjoint kinds
//! of tokens. Everything here is free of I/O; prompts, completions and error messages are not read.
//!
//! Which wire field becomes which part of [`TokenUsage`](crate::record::TokenUsage):
//!
//! | part | Cloud Code, Gemini, Vertex AI (`usageMetadata`) | Interactions (`usage`) | Anthropic (`usage`) | OpenAI (`usage`) |
//! |---|---|---|---|---|
//! | `input` | `promptTokenCount` − `cachedContentTokenCount` (the prompt includes what was cached) | `total_input_tokens` − `total_cached_tokens` | `input_tokens` | `prompt_tokens` (Responses: `input_tokens`) − cached − written (the prompt includes both) |
//! | `cache_read` | `cachedContentTokenCount` | `total_cached_tokens` | `cache_read_input_tokens` | `prompt_tokens_details.cached_tokens`; `cached_tokens` (Moonshot), `prompt_cache_hit_tokens` (DeepSeek) |
//! | `cache_write_5m` | not on the wire | not on the wire | `cache_creation.ephemeral_5m_input_tokens`, and what `cache_creation_input_tokens` has beyond both lifetimes | `prompt_tokens_details.cache_write_tokens`, which has no lifetime |
//! | `cache_write_1h` | not on the wire | not on the wire | `cache_creation.ephemeral_1h_input_tokens` | not on the wire |
//! | `tool_input` | `toolUsePromptTokenCount` | `total_tool_use_tokens` | not on the wire | not on the wire |
//! | `output` | `candidatesTokenCount`, or `responseTokenCount` | `total_output_tokens` | `output_tokens` − `thinking` | `completion_tokens` (Responses: `output_tokens`) − `thinking` |
//! | `thinking` | `thoughtsTokenCount` | `total_thought_tokens` | `output_tokens_details.thinking_tokens` | `completion_tokens_details.reasoning_tokens` |
//!
//! That is the documented meaning; where the total that is reported beside the parts contradicts
//! it, other known ones are tried (`gemini::usage`, `openai::usage`). `predict` of text embeddings
//! has the sum of `predictions[].embeddings.statistics.token_count` as its `input`.
//!
//! Which wire field becomes which of the [`CallIds`](crate::record::CallIds):
//!
//! | id | Cloud Code | Anthropic | OpenAI |
//! |---|---|---|---|
//! | `request` | `requestId`; gemini-cli has `user_prompt_id` instead | | |
//! | `conversation` | a UUID of `requestId`, if the form says that it is one | the field `x-claude-code-session-id` (Claude Code) | the field `session_id` or `thread_id`, also with a hyphen, or `conversation_id` (Codex) |
//! | `trajectory` | the same | | |
//! | `unexplained` | the UUID of `requestId`, where its form does not (`checkpoint/<uuid>`) | | |
//! | `labelled_trajectory` | `request.labels.trajectory_id`, or the UUID of `request.labels.request_id` | | |
//! | `step` | `request.labels.last_step_index`, or the last number of `requestId` | | |
//! | `subagent` | | the field `x-claude-code-agent-id` | the field or `client_metadata` key `thread_id`, where a subagent asks |
//! | `parent_subagent` | | the field `x-claude-code-parent-agent-id` | `x-codex-parent-thread-id`, unless it is the conversation's own |
//! | `subagent_kind` | | the field `x-claude-code-agent-type` | `x-openai-subagent` |
//! | `session`, `execution` | `request.sessionId`, `request.labels.last_execution_id` | | |
//! | (the caller's repository) | | | of the field `x-codex-turn-metadata`, the one workspace's remote or folder |
//! | `provider_trace` | `traceId` or the field `x-cloudaicompanion-trace-id` | | |
//! | `response` | `responseId` | `id` of the message | `id` of the completion or response |
//!
//! A new dialect is a module with a `Dialect`, a line in `DIALECTS`, a column in this table and
//! fixtures.

mod aliases;
mod answer;
mod anthropic;
mod asked;
mod base_urls;
mod bedrock;
mod body;
mod call;
mod contents;
mod form;
#[doc(hidden)]
pub mod fuzz;
mod gemini;
mod limits;
mod notices;
mod observer;
mod ollama;
mod openai;
mod providers;
mod realtime;
mod reports;
mod request;
mod response;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod times;
mod tokens;
mod turns;
mod unread;
mod usual;
mod verdict;

use std::sync::LazyLock;

use crate::observe::exchange::{Listed, Reduced, RequestHead};
use crate::observe::memory::Memory;
use crate::record::{Host, Model, Operation, Provider};

use answer::{AnswerHead, ReadBody};
use limits::HeadLimits;
use notices::ReadNotice;
use realtime::RealtimeHead;
use request::ReadRequestBody;

pub use asked::{Asked, AskedCall};
pub use base_urls::{BASE_URL_PATHS, BaseUrlPath, BaseUrlServer};
pub use form::{
    Pointers, RefusalReason, RequestForm, RequestRefusal, SystemPrompt, ThinkingBudget,
};
pub use gemini::quota;
pub use observer::Observers;
pub use usual::usual_url;

/// A family of providers that speak one wire format.
struct Dialect {
    /// The hosts whose traffic is decrypted by default, whole names.
    hosts: &'static [&'static str],
    /// The header fields and query parameters that it reads, besides those of any HTTP message and
    /// those about limits.
    listed: Listed,
    /// The limits that heads tell of.
    limits: HeadLimits,
    /// The provider that answers at a host, if it is known.
    provider_of: fn(&Host) -> Option<Provider>,
    /// Whether an exchange is private, by its host and head: its bodies are never read.
    is_private: fn(&Host, &RequestHead) -> bool,
    /// What a request is, by its host and head; `None` if this dialect does not read it.
    recognise: fn(&Host, &RequestHead) -> Option<Recognised>,
}

/// Every dialect. Where several recognise a request, the first one reads it.
const DIALECTS: &[&Dialect] = &[
    &gemini::DIALECT,
    &anthropic::DIALECT,
    &openai::DIALECT,
    &bedrock::DIALECT,
    &ollama::DIALECT,
    #[cfg(test)]
    &tests::sketch::DIALECT,
];

/// A request that is read.
enum Recognised {
    /// It is a call to a model.
    Call(CallHead),
    /// It calls no model, but reports calls, models or quotas.
    Notice(Notice),
    /// It opens a WebSocket for calls like this one, one after another.
    Session(CallHead),
    /// It opens a WebSocket for a talk with a model.
    Realtime(RealtimeHead),
}

/// What the head of a call says of it.
#[derive(Clone)]
struct CallHead {
    /// Who is asked.
    provider: Provider,
    /// What the path says the call is for; the body may say it more closely.
    operation: Operation,
    /// The model that the path names.
    model: Option<Model>,
    /// The request asks for events, so that an answer without a label is a stream of them.
    expects_events: bool,
    /// Where the request has what may be changed.
    form: &'static RequestForm,
    /// The reader of the request's body.
    request: fn(&RequestHead, &Memory) -> Box<dyn ReadRequestBody>,
    /// The reader of the answer's body.
    answer: fn(AnswerHead<'_>) -> Box<dyn ReadBody>,
}

/// What the head of a notice says of it.
struct Notice {
    /// The provider.
    provider: Provider,
    /// Which of its two bodies is read.
    side: Side,
    /// The reader of that body.
    reader: fn(Provider) -> Box<dyn ReadNotice>,
}

/// One of the two messages of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// The hosts whose traffic is decrypted by default, of all dialects.
pub fn hosts() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().flat_map(|dialect| dialect.hosts).copied()
}

/// Whether any dialect says that the bodies must not be read, by any of them.
fn is_private(host: &Host, head: &RequestHead) -> bool {
    DIALECTS
        .iter()
        .any(|dialect| (dialect.is_private)(host, head))
}

fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    DIALECTS
        .iter()
        .find_map(|dialect| (dialect.recognise)(host, head))
}

/// Whether calls at this host may be this provider's, before anything else is known of them. On a
/// host that is not known, the path decides.
pub fn may_answer(host: &Host, provider: Provider) -> bool {
    let Some(known) = provider_of(host) else {
        return true;
    };
    known == provider || {
        let others: &[Provider] = match known {
            Provider::AzureOpenAi => &[Provider::AzureInference],
            Provider::Bedrock => &[Provider::Anthropic],
            _ => &[],
        };
        others.contains(&provider)
    }
}

/// Whose models answer at a host, where that is known.
pub(crate) fn provider_of(host: &Host) -> Option<Provider> {
    DIALECTS
        .iter()
        .find_map(|dialect| (dialect.provider_of)(host))
}

/// The header fields and query parameters that all dialects together read.
fn listed() -> Listed {
    static LISTED: LazyLock<ListedByAll> = LazyLock::new(ListedByAll::collect);
    Listed {
        fields: &LISTED.fields,
        endings: &LISTED.endings,
        reduced: &LISTED.reduced,
        query: &LISTED.query,
    }
}

/// What all dialects list.
#[derive(Default)]
struct ListedByAll {
    fields: Vec<&'static str>,
    endings: Vec<&'static str>,
    reduced: Vec<Reduced>,
    query: Vec<&'static str>,
}

impl ListedByAll {
    fn collect() -> Self {
        let mut all = Self::default();
        for dialect in DIALECTS {
            all.fields.extend(dialect.listed.fields);
            all.fields.extend(dialect.limits.fields());
            all.endings.extend(dialect.listed.endings);
            all.endings.extend(dialect.limits.plan_endings);
            all.reduced.extend(dialect.listed.reduced.iter().copied());
            all.query.extend(dialect.listed.query);
        }
        for names in [&mut all.fields, &mut all.endings, &mut all.query] {
            names.sort_unstable();
            names.dedup();
        }
        all
    }
}
