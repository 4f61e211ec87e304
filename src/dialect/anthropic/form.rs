//! Where a request for a message has what may be changed, and how Anthropic refuses one.
//!
//! Source: anthropics/anthropic-sdk-python `src/anthropic/types/message_create_params.py` and
//! `_error_response.py`.

use bytes::Bytes;
use http::Response;
use serde_json::json;

use crate::dialect::form::{RequestForm, RequestRefusal, SystemPrompt, ThinkingBudget};

/// `POST .../v1/messages`.
pub(in crate::dialect) static MESSAGE: RequestForm = NAMING;

/// The same where the path names the model.
pub(in crate::dialect) static MESSAGE_BY_PATH: RequestForm = BY_PATH;

/// The same, to begin another form with.
pub(in crate::dialect) const BY_PATH: RequestForm = RequestForm {
    model: None,
    ..NAMING
};

const NAMING: RequestForm = RequestForm {
    model: Some("/model"),
    system: SystemPrompt::Blocks {
        at: &["/system"],
        is_typed: true,
    },
    output_tokens: &["/max_tokens"],
    thinking_tokens: ThinkingBudget {
        at: &["/thinking/budget_tokens"],
        least: LEAST_THINKING,
        is_below_output: true,
        ..ThinkingBudget::NONE
    },
    stream_usage: None,
    refuse,
};

/// The least budget for thinking that the API accepts.
pub(in crate::dialect) const LEAST_THINKING: u64 = 1024;

fn refuse(refusal: &RequestRefusal<'_>) -> Response<Bytes> {
    let kind = refusal.by_reason("permission_error", "rate_limit_error", "request_too_large");
    refusal.response(&json!({
        "type": "error",
        "error": { "type": kind, "message": refusal.message },
    }))
}
