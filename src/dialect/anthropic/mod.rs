//! Anthropic Messages, wherever it is served: Anthropic itself, on AWS, Vertex AI and Azure, GitHub
//! Copilot, gateways, and other providers that speak its form.
//!
//! Sources: anthropics/anthropic-sdk-python `src/anthropic/types` and `lib`, and the API reference.

mod answer;
mod form;
mod hosts;
mod limits;
mod paths;
mod refusal;
mod request;
mod usage;

use super::body::json_body;
use super::request::json_request;
use super::{CallHead, Dialect, Recognised, providers};
use crate::observe::exchange::{Listed, RequestHead};
use crate::record::{Host, Model, Operation, Provider};
pub(super) use answer::Message;
use answer::OVERAGE_IN_USE;
pub(super) use form::{BY_PATH, LEAST_THINKING, MESSAGE};
pub(super) use paths::{Field, table};
pub(super) use request::MessageRequest;

pub(super) const DIALECT: Dialect = Dialect {
    hosts: hosts::HOSTS,
    listed: Listed {
        fields: &[
            request::SESSION,
            request::SUBAGENT,
            request::PARENT_SUBAGENT,
            request::SUBAGENT_KIND,
            request::PROMPT,
            request::CLASS,
            OVERAGE_IN_USE,
        ],
        endings: &[],
        reduced: &[],
        query: &[],
    },
    limits: limits::LIMITS,
    provider_of: providers::provider_of,
    is_private: |_, _| false,
    recognise,
};

/// Recognises `POST .../v1/messages`, whatever stands before it, and Vertex AI's `:rawPredict` and
/// `:streamRawPredict` of Anthropic's models.
fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    let path = Some(head.path.as_str()).filter(|_| head.method == "POST")?;
    let (operation, model) = if path.ends_with("/v1/messages") {
        (Operation::Chat, None)
    } else if path.ends_with("/v1/messages/count_tokens") {
        (Operation::CountTokens, None)
    } else {
        match on_vertex(path)? {
            "count-tokens" => (Operation::CountTokens, None),
            model => (Operation::Chat, Some(Model::from_wire(model))),
        }
    };
    Some(Recognised::Call(CallHead {
        provider: provider(host, path),
        operation,
        form: if model.is_some() {
            &form::MESSAGE_BY_PATH
        } else {
            &MESSAGE
        },
        model,
        expects_events: false,
        request: |head, memory| json_request(head, memory, MessageRequest::default()),
        answer: |of| json_body(of, Message::default()),
    }))
}

/// The model in `/v1/projects/{p}/locations/{l}/publishers/anthropic/models/{model}:rawPredict`.
fn on_vertex(path: &str) -> Option<&str> {
    let (_, resource) = path.split_once("/publishers/anthropic/models/")?;
    let (model, method) = resource.rsplit_once(':')?;
    let is_call = matches!(method, "rawPredict" | "streamRawPredict") && !model.contains('/');
    is_call.then_some(model)
}

/// An unknown host that speaks this form counts as Anthropic's.
fn provider(host: &Host, path: &str) -> Provider {
    match providers::provider_of(host) {
        _ if on_vertex(path).is_some() => Provider::VertexAi,
        // What Azure serves in this form is not made by OpenAI, and Bedrock's other door is
        // Anthropic's own API.
        Some(Provider::AzureOpenAi) => Provider::AzureInference,
        Some(Provider::Bedrock) | None => Provider::Anthropic,
        Some(provider) => provider,
    }
}
