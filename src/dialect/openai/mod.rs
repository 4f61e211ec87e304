//! OpenAI's two forms, Chat Completions and Responses, with the completions and embeddings that go
//! with them, and OpenAI's Realtime API, wherever they are served: OpenAI itself, ChatGPT for Codex, Azure, Bedrock, Google,
//! GitHub Copilot, many other providers, local servers and gateways.
//!
//! Sources: openai/openai-python `src/openai/types`, openai/codex `codex-rs/codex-api`, and the API
//! references of the providers.

mod chat;
mod conversations;
mod form;
mod items;
mod limits;
mod plan;
mod realtime;
mod refusal;
mod request;
mod responses;
#[cfg(test)]
mod tests;
mod usage;
mod workspace;

use super::body::json_body;
use super::realtime::RealtimeHead;
use super::reports::PROCESSING_MS;
use super::request::json_request;
use super::session::{EXTENSIONS, UPGRADE, opens_socket};
use super::{CallHead, Dialect, Recognised, providers};
use crate::observe::exchange::{Listed, RequestHead};
use crate::record::{Host, Model, Operation, Provider};
use chat::Completion;
use conversations::Conversation;
use request::OpenAiRequest;
use responses::Response;

pub(super) const DIALECT: Dialect = Dialect {
    hosts: &[
        "api.openai.com",
        "us.api.openai.com",
        "eu.api.openai.com",
        "ae.api.openai.com",
        "au.api.openai.com",
        "in.api.openai.com",
        "jp.api.openai.com",
        "gov.api.openai.com",
        CHATGPT[0],
        CHATGPT[1],
        "api.githubcopilot.com",
        "api.individual.githubcopilot.com",
        "api.business.githubcopilot.com",
        "api.enterprise.githubcopilot.com",
        "openrouter.ai",
        "api.x.ai",
        "api.mistral.ai",
        "codestral.mistral.ai",
        "api.deepseek.com",
        "api.groq.com",
        "api.moonshot.ai",
        "api.moonshot.cn",
        "api.z.ai",
        "open.bigmodel.cn",
    ],
    listed: Listed {
        fields: LISTED,
        endings: &[],
        reduced: &[(workspace::TURN_METADATA, workspace::repository)],
        query: &[],
    },
    limits: limits::LIMITS,
    provider_of: providers::provider_of,
    is_private,
    recognise,
};

/// The header fields that are read.
const LISTED: &[&str] = &[
    request::CONVERSATION[0],
    request::CONVERSATION[1],
    request::CONVERSATION[2],
    request::CONVERSATION[3],
    request::CONVERSATION[4],
    request::PARENT_THREAD,
    request::SUBAGENT_KIND,
    refusal::RETRY_AFTER,
    PROCESSING_MS,
    UPGRADE,
    EXTENSIONS,
];

/// The hosts of people's own conversations with ChatGPT, and of Codex for those who log in there.
const CHATGPT: [&str; 2] = ["chatgpt.com", "gov.chatgpt.com"];

/// The only paths of [`CHATGPT`] that are looked at.
const CODEX: [&str; 2] = [
    "/backend-api/codex/responses",
    "/backend-api/codex/responses/compact",
];

/// Which form an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Chat,
    /// Of Mistral alone.
    Conversations,
    Responses,
}

/// Everything at ChatGPT but Codex is somebody's browser, and nobody else's business.
fn is_private(host: &Host, head: &RequestHead) -> bool {
    CHATGPT.contains(&host.as_str()) && !CODEX.contains(&head.path.as_str())
}

/// Recognises a POST by the end of its path, whatever stands before it, and what asks for a WebSocket
/// where Responses or the Realtime API are: a GET, or over HTTP/2 an extended CONNECT. Any other GET
/// reads again what was counted when it was made, and is no call.
fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    let path = head.path.as_str();
    let provider = provider(host, path);
    let opens_socket = opens_socket(head);
    if opens_socket && path.ends_with("/realtime") {
        return Some(Recognised::Realtime(RealtimeHead {
            provider,
            form: &form::RESPONSE,
            reader: realtime::reader,
        }));
    }
    let (operation, answers) = shape(path).or_else(|| conversation(provider, path))?;
    let call = CallHead {
        provider,
        operation,
        form: form::of(answers, operation, provider),
        model: deployment(path).map(Model::from_wire),
        // Codex always asks for events, and ChatGPT does not label them.
        expects_events: CHATGPT.contains(&host.as_str()) && operation == Operation::Chat,
        request: |head, memory| json_request(head, memory, OpenAiRequest::default()),
        answer: match answers {
            Form::Chat => |of| json_body(of, Completion::default()),
            Form::Conversations => |of| json_body(of, Conversation::default()),
            Form::Responses => |of| json_body(of, Response::default()),
        },
    };
    match head.method.as_str() {
        "POST" => Some(Recognised::Call(call)),
        _ if opens_socket && path.ends_with("/responses") => Some(Recognised::Session(CallHead {
            request: |head, memory| json_request(head, memory, OpenAiRequest::over_socket()),
            ..call
        })),
        _ => None,
    }
}

/// What a path is for, by its last segments.
fn shape(path: &str) -> Option<(Operation, Form)> {
    let mut segments = path.rsplit('/');
    let [last, second, third] = std::array::from_fn(|_| segments.next().unwrap_or_default());
    match (third, second, last) {
        (_, "chat" | "agents", "completions") => Some((Operation::Chat, Form::Chat)),
        (_, "fim", "completions") => Some((Operation::Autocomplete, Form::Chat)),
        // The completions that GitHub Copilot shows while somebody types report no usage.
        ("engines", _, "completions") => None,
        (_, _, "completions") => Some((Operation::TextCompletion, Form::Chat)),
        (_, _, "embeddings") => Some((Operation::Embeddings, Form::Chat)),
        // Questions about a text, all answered in one document. Google has another form for that.
        (_, "v1", "decisions") => Some((Operation::Chat, Form::Responses)),
        (_, _, "responses") => Some((Operation::Chat, Form::Responses)),
        (_, "responses", "compact") => Some((Operation::Compact, Form::Responses)),
        (_, "responses", "input_tokens") => Some((Operation::CountTokens, Form::Responses)),
        _ => None,
    }
}

/// What Mistral generates at `/v1/conversations`, `/v1/conversations/{id}` and
/// `/v1/conversations/{id}/restart`. OpenAI's paths of that name generate nothing.
fn conversation(provider: Provider, path: &str) -> Option<(Operation, Form)> {
    let rest = path.strip_prefix("/v1/conversations")?;
    let is_call = match rest.split('/').collect::<Vec<_>>().as_slice() {
        [""] => true,
        ["", id] | ["", id, "restart"] => !id.is_empty(),
        _ => false,
    };
    (is_call && provider == Provider::Mistral).then_some((Operation::Chat, Form::Conversations))
}

/// The deployment in `/openai/deployments/{deployment}/...`, which is what Azure calls a model.
fn deployment(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/openai/deployments/")?;
    let (deployment, _) = rest.split_once('/')?;
    Some(deployment).filter(|name| !name.is_empty())
}

/// An unknown host that speaks this form counts as OpenAI's.
fn provider(host: &Host, path: &str) -> Provider {
    match super::provider_of(host) {
        // Azure serves models of other makers below this path.
        Some(Provider::AzureOpenAi) if path.starts_with("/models/") => Provider::AzureInference,
        Some(provider) => provider,
        None => Provider::OpenAi,
    }
}
