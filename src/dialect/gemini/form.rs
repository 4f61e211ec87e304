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
        levels: &[
            "/generationConfig/thinkingConfig/thinkingLevel",
            "/generation_config/thinking_config/thinking_level",
        ],
        is_unasked: thinks_unasked,
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
        levels: &[
            "/request/generationConfig/thinkingConfig/thinkingLevel",
            "/request/generation_config/thinking_config/thinking_level",
        ],
        is_unasked: thinks_unasked,
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

/// Models for text think unasked from Gemini 2.5 on, but for the ones called Lite; those for images
/// and speech refuse a budget (ai.google.dev, "Gemini thinking").
fn thinks_unasked(model: &str) -> bool {
    let Some((version, kind)) = model
        .strip_prefix("gemini-")
        .and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else {
        return false;
    };
    let mut words = kind.split('-');
    (major, minor) >= (2, 5)
        && matches!(words.next(), Some("flash" | "pro"))
        && !words.any(|word| NOT_THINKING.contains(&word))
}

/// Words in the names of models that do not think unasked, or not at all.
const NOT_THINKING: [&str; 6] = ["audio", "image", "lite", "live", "native", "tts"];

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

#[cfg(test)]
mod tests {
    use super::thinks_unasked;

    #[test]
    fn models_for_text_think_unasked_since_2_5() {
        for model in [
            "gemini-2.5-pro",
            "gemini-2.5-flash",
            "gemini-2.5-flash-preview-09-2025",
            "gemini-3-pro-preview",
            "gemini-3.1-pro-preview",
        ] {
            assert!(thinks_unasked(model), "{model}");
        }
        for model in [
            "gemini-2.0-flash",
            "gemini-1.5-pro-002",
            "gemini-2.5-flash-lite",
            "gemini-2.5-flash-image",
            "gemini-2.5-flash-preview-tts",
            "gemini-2.5-flash-native-audio-latest",
            "gemini-embedding-001",
            "gemini-flash-latest",
            "gemini-2.5",
            "gemma-3-27b-it",
            "",
        ] {
            assert!(!thinks_unasked(model), "{model}");
        }
    }
}
