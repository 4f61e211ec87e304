//! Where the requests of Google's family have what may be changed, and how they are refused. Field
//! names are accepted in camelCase and in snake_case.
//!
//! Sources: googleapis/js-genai `src/types.ts` and `src/gaos`, google-gemini/gemini-cli
//! `packages/core/src/code_assist`.

use bytes::Bytes;
use http::Response;
use serde_json::json;

use crate::dialect::form::{RequestForm, RequestRefusal, SystemPrompt, ThinkingBudget};

/// The form of a request: of Cloud Code, which wraps it and names the model in the wrapper, or of
/// the other APIs, which name it in the path; an interaction has a form of its own.
pub(super) fn of(is_wrapped: bool, is_interaction: bool) -> &'static RequestForm {
    match (is_wrapped, is_interaction) {
        (_, true) => &INTERACTION,
        (true, false) => &WRAPPED,
        (false, false) => &GENERATION,
    }
}

pub(super) static GENERATION: RequestForm = RequestForm {
    model: None,
    system: SystemPrompt::Parts(&["/systemInstruction", "/system_instruction"]),
    output_tokens: &[
        "/generationConfig/maxOutputTokens",
        "/generation_config/max_output_tokens",
        "/generationConfig/max_output_tokens",
        "/generation_config/maxOutputTokens",
    ],
    thinking_tokens: ThinkingBudget {
        at: &[
            "/generationConfig/thinkingConfig/thinkingBudget",
            "/generation_config/thinking_config/thinking_budget",
        ],
        ..ThinkingBudget::NONE
    },
    // Streams always say it.
    stream_usage: None,
    refuse,
};

static WRAPPED: RequestForm = RequestForm {
    model: Some("/model"),
    system: SystemPrompt::Parts(&["/request/systemInstruction", "/request/system_instruction"]),
    output_tokens: &[
        "/request/generationConfig/maxOutputTokens",
        "/request/generation_config/max_output_tokens",
        "/request/generationConfig/max_output_tokens",
        "/request/generation_config/maxOutputTokens",
    ],
    thinking_tokens: ThinkingBudget {
        at: &[
            "/request/generationConfig/thinkingConfig/thinkingBudget",
            "/request/generation_config/thinking_config/thinking_budget",
        ],
        ..ThinkingBudget::NONE
    },
    stream_usage: None,
    refuse,
};

static INTERACTION: RequestForm = RequestForm {
    model: Some("/model"),
    system: SystemPrompt::Text(&["/system_instruction", "/systemInstruction"]),
    output_tokens: &["/generation_config/max_output_tokens"],
    // It has words for how hard to think.
    thinking_tokens: ThinkingBudget::NONE,
    stream_usage: None,
    refuse,
};

fn refuse(refusal: &RequestRefusal<'_>) -> Response<Bytes> {
    let status = refusal.by_reason(
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "INVALID_ARGUMENT",
    );
    refusal.response(&json!({
        "error": { "code": refusal.code(), "message": refusal.message, "status": status },
    }))
}
