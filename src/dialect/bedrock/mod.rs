//! Amazon Bedrock's own API: Converse, which has one form for all models, and `invoke`, which hands
//! on whatever the model's own API says.
//!
//! Which wire field becomes which part of [`TokenUsage`](crate::record::TokenUsage):
//!
//! | part | Converse (`usage`) | `invoke`: its head, `amazon-bedrock-invocationMetrics` |
//! |---|---|---|
//! | `input` | `inputTokens` (without what the cache holds) | `x-amzn-bedrock-input-token-count`, `inputTokenCount` |
//! | `cache_read` | `cacheReadInputTokens` | `x-amzn-bedrock-cache-read-input-token-count`, `cacheReadInputTokenCount` |
//! | `cache_write_5m`, `cache_write_1h` | `cacheDetails[]` by `ttl`; what `cacheWriteInputTokens` has beyond them is of 5 minutes | `x-amzn-bedrock-cache-write-input-token-count`, `cacheWriteInputTokenCount`: of 5 minutes |
//! | `output` | `outputTokens` (with reasoning) | `x-amzn-bedrock-output-token-count`, `outputTokenCount` |
//!
//! What Claude itself reports inside `invoke` counts; the figures of Bedrock are compared with it.
//!
//! Sources: the API reference of Amazon Bedrock Runtime (InvokeModel, InvokeModelWithResponseStream,
//! Converse, ConverseStream, CountTokens); envoyproxy/ai-gateway and agentgateway/agentgateway, which
//! read both.

mod converse;
mod form;
mod hosts;
mod invoke;
mod metrics;
mod paths;
mod refusal;
mod stream;
#[cfg(test)]
mod tests;
mod wrapped;

use super::answer::{AnswerHead, ReadAnswer, ReadBody};
use super::anthropic::MessageRequest;
use super::body::json_body;
use super::limits::HeadLimits;
use super::reports::INVOCATION_LATENCY;
use super::request::json_request;
use super::verdict::is_success;
use super::{CallHead, Dialect, Recognised, providers};
use crate::observe::exchange::{Listed, RequestHead};
use crate::record::{Host, Operation, Provider};
use converse::Conversation;
use invoke::Invocation;
use paths::Method;
use stream::{Payload, event_stream_body};

pub(super) const DIALECT: Dialect = Dialect {
    hosts: hosts::HOSTS,
    listed: Listed {
        fields: &[
            metrics::CACHE_READ,
            metrics::CACHE_WRITE,
            metrics::INPUT,
            metrics::OUTPUT,
            refusal::ERROR_TYPE,
            INVOCATION_LATENCY,
        ],
        endings: &[],
        reduced: &[],
        query: &[],
    },
    limits: HeadLimits::NONE,
    provider_of: providers::provider_of,
    is_private: |_, _| false,
    recognise,
};

/// Recognises `POST /model/{id}/{method}`, also behind a prefix on hosts that are not known: those
/// of PrivateLink, which have a name of their own, and gateways.
fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    let is_possible = matches!(providers::provider_of(host), None | Some(Provider::Bedrock));
    let path = Some(head.path.as_str()).filter(|_| head.method == "POST" && is_possible)?;
    let (model, method) = paths::parse(path)?;
    let operation = match method {
        Method::CountTokens => Operation::CountTokens,
        // The names of all such models say it (`amazon.titan-embed-text-v2:0`).
        Method::Invoke | Method::InvokeStream if model.as_str().contains("embed") => {
            Operation::Embeddings
        }
        _ => Operation::Chat,
    };
    Some(Recognised::Call(CallHead {
        provider: Provider::Bedrock,
        operation,
        form: form::of(method, &model),
        model: Some(model),
        expects_events: matches!(method, Method::ConverseStream | Method::InvokeStream),
        request: |head, memory| json_request(head, memory, MessageRequest::default()),
        answer: match method {
            Method::Converse | Method::ConverseStream | Method::CountTokens => converse_body,
            Method::Invoke | Method::InvokeStream => invoke_body,
        },
    }))
}

fn converse_body(of: AnswerHead<'_>) -> Box<dyn ReadBody> {
    body(of, Payload::Document, Conversation::default())
}

fn invoke_body(of: AnswerHead<'_>) -> Box<dyn ReadBody> {
    body(of, Payload::wrapped(), Invocation::default())
}

/// The label decides, and where there is none, what was asked for; a refusal is always a document.
fn body<A: ReadAnswer + 'static>(
    of: AnswerHead<'_>,
    payload: Payload,
    answer: A,
) -> Box<dyn ReadBody> {
    let is_stream = match of.head.fields.content_type.as_deref() {
        Some(kind) => kind == "application/vnd.amazon.eventstream",
        None => of.expects_events && is_success(of.head.status),
    };
    if is_stream {
        event_stream_body(of, payload, answer)
    } else {
        json_body(of, answer)
    }
}
