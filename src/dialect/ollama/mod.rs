//! Ollama's own API, on whatever host it runs: a JSON document on each line, unless the request asks
//! for one alone. The same server also speaks the forms of OpenAI and Anthropic on paths of theirs.
//!
//! `input` is `prompt_eval_count`, `output` is `eval_count`, both with what they have of thinking.
//! Embeddings have no output. Their older path, `/api/embeddings`, reports no figures, and other
//! servers answer there in OpenAI's form, which is how it is read.
//!
//! Source: ollama/ollama `docs/api.md`.

mod answer;
mod form;

use super::anthropic::MessageRequest;
use super::body::json_body;
use super::limits::HeadLimits;
use super::request::json_request;
use super::{CallHead, Dialect, Recognised, providers};
use crate::observe::exchange::{Listed, RequestHead};
use crate::record::{Host, Operation, Provider};
use answer::Reply;

pub(super) const DIALECT: Dialect = Dialect {
    // It runs wherever its user has put it, mostly on the machine itself.
    hosts: &[],
    listed: Listed::NOTHING,
    limits: HeadLimits::NONE,
    provider_of: providers::provider_of,
    is_private: |_, _| false,
    recognise,
};

/// Recognises a POST to one of its paths, except on hosts where another provider is known to
/// answer.
fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    let operation = match (head.method.as_str(), head.path.as_str()) {
        ("POST", "/api/chat") => Operation::Chat,
        ("POST", "/api/embed") => Operation::Embeddings,
        ("POST", "/api/generate") => Operation::TextCompletion,
        _ => return None,
    };
    let is_possible = matches!(providers::provider_of(host), None | Some(Provider::Ollama));
    is_possible.then_some(Recognised::Call(CallHead {
        provider: Provider::Ollama,
        operation,
        form: form::of(operation),
        model: None,
        expects_events: false,
        request: |head, memory| json_request(head, memory, MessageRequest::default()),
        answer: |of| json_body(of, Reply::default()),
    }))
}
