//! Where the requests of Bedrock have what may be changed, and how Bedrock refuses one. The path
//! names the model.
//!
//! Source: the API reference of Amazon Bedrock Runtime (Converse, InvokeModel, Common Errors).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use serde_json::json;

use super::paths::Method;
use super::refusal::ERROR_TYPE;
use crate::dialect::anthropic::{BY_PATH, LEAST_THINKING};
use crate::dialect::form::{RequestForm, RequestRefusal, SystemPrompt, ThinkingBudget};
use crate::record::Model;

/// The form of a request with this method for this model.
pub(super) fn of(method: Method, model: &Model) -> &'static RequestForm {
    match method {
        Method::Converse | Method::ConverseStream => &CONVERSE,
        Method::Invoke | Method::InvokeStream if model.as_str().contains("claude") => &CLAUDE,
        Method::CountTokens | Method::Invoke | Method::InvokeStream => &UNKNOWN,
    }
}

static CONVERSE: RequestForm = RequestForm {
    model: None,
    system: SystemPrompt::Blocks {
        at: &["/system"],
        is_typed: false,
    },
    output_tokens: &["/inferenceConfig/maxTokens"],
    // Of Claude: other models have no budget in tokens.
    thinking_tokens: ThinkingBudget {
        at: &["/additionalModelRequestFields/thinking/budget_tokens"],
        least: LEAST_THINKING,
        is_below_output: true,
        ..ThinkingBudget::NONE
    },
    stream_usage: None,
    refuse,
};

/// What `invoke` hands on to Claude.
static CLAUDE: RequestForm = RequestForm { refuse, ..BY_PATH };

/// What the model's own API asks for.
static UNKNOWN: RequestForm = RequestForm {
    model: None,
    system: SystemPrompt::None,
    output_tokens: &[],
    thinking_tokens: ThinkingBudget::NONE,
    stream_usage: None,
    refuse,
};

fn refuse(refusal: &RequestRefusal<'_>) -> Response<Bytes> {
    let kind = refusal.by_reason(
        "AccessDeniedException",
        "ThrottlingException",
        "ValidationException",
    );
    let mut response = refusal.response(&json!({ "message": refusal.message }));
    response.headers_mut().insert(
        HeaderName::from_static(ERROR_TYPE),
        HeaderValue::from_static(kind),
    );
    response
}
