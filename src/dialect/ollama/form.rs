//! Where the requests of Ollama have what may be changed, and how it refuses one.
//!
//! Source: ollama/ollama `docs/api.md`.

use bytes::Bytes;
use http::Response;
use serde_json::json;

use crate::dialect::form::{RequestForm, RequestRefusal, SystemPrompt, ThinkingBudget};
use crate::record::Operation;

/// The form of a request for this operation.
pub(super) fn of(operation: Operation) -> &'static RequestForm {
    match operation {
        Operation::Chat => &CHAT,
        Operation::TextCompletion => &GENERATION,
        _ => &EMBEDDING,
    }
}

static CHAT: RequestForm = RequestForm {
    system: SystemPrompt::Messages("/messages"),
    ..OF_GENERATION
};

static GENERATION: RequestForm = OF_GENERATION;

static EMBEDDING: RequestForm = RequestForm {
    system: SystemPrompt::None,
    output_tokens: &[],
    ..OF_GENERATION
};

const OF_GENERATION: RequestForm = RequestForm {
    model: Some("/model"),
    system: SystemPrompt::Text(&["/system"]),
    output_tokens: &["/options/num_predict"],
    thinking_tokens: ThinkingBudget::NONE,
    stream_usage: None,
    refuse,
};

fn refuse(refusal: &RequestRefusal<'_>) -> Response<Bytes> {
    refusal.response(&json!({ "error": refusal.message }))
}
