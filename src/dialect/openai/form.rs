//! Where the requests of OpenAI's forms have what may be changed, and how they are refused.
//!
//! Sources: openai/openai-python `src/openai/types`, and the API references of the providers that
//! speak these forms.

use bytes::Bytes;
use http::Response;
use serde_json::json;

use super::Form;
use crate::dialect::form::{Pointers, RequestForm, RequestRefusal, SystemPrompt, ThinkingBudget};
use crate::record::{Operation, Provider};

/// The form of a request with this form of answers.
pub(super) fn of(form: Form, operation: Operation, provider: Provider) -> &'static RequestForm {
    match (form, operation) {
        (Form::Chat, Operation::Chat) if names_completion_tokens(provider) => &CHAT,
        (Form::Chat, Operation::Chat) => &CHAT_OF_OTHERS,
        (Form::Chat, Operation::Embeddings) => &EMBEDDINGS,
        (Form::Chat, _) => &COMPLETION,
        (Form::Conversations, _) => &CONVERSATION,
        (Form::Responses, _) => &RESPONSE,
    }
}

/// Whether a limit is called `max_completion_tokens` where the request names none: OpenAI's models
/// that reason refuse the older name, many other servers do not know the newer one.
fn names_completion_tokens(provider: Provider) -> bool {
    matches!(provider, Provider::AzureOpenAi | Provider::OpenAi)
}

static CHAT: RequestForm = RequestForm {
    output_tokens: &["/max_completion_tokens", "/max_tokens"],
    ..OF_CHAT
};

static CHAT_OF_OTHERS: RequestForm = RequestForm {
    output_tokens: &["/max_tokens", "/max_completion_tokens"],
    ..OF_CHAT
};

static COMPLETION: RequestForm = RequestForm {
    system: SystemPrompt::None,
    output_tokens: &["/max_tokens"],
    ..OF_CHAT
};

static EMBEDDINGS: RequestForm = RequestForm {
    system: SystemPrompt::None,
    output_tokens: &[],
    stream_usage: None,
    ..OF_CHAT
};

pub(super) static RESPONSE: RequestForm = RequestForm {
    system: SystemPrompt::Text(INSTRUCTIONS),
    output_tokens: &["/max_output_tokens"],
    // Its streams always say it.
    stream_usage: None,
    ..OF_CHAT
};

/// Of Mistral alone.
static CONVERSATION: RequestForm = RequestForm {
    system: SystemPrompt::Text(INSTRUCTIONS),
    output_tokens: &["/completion_args/max_tokens"],
    stream_usage: None,
    ..OF_CHAT
};

const INSTRUCTIONS: Pointers = &["/instructions"];

const OF_CHAT: RequestForm = RequestForm {
    model: Some("/model"),
    system: SystemPrompt::Messages("/messages"),
    output_tokens: &[],
    // A budget in tokens is OpenRouter's; others have only words for how hard to think.
    thinking_tokens: ThinkingBudget {
        at: &["/reasoning/max_tokens"],
        ..ThinkingBudget::NONE
    },
    stream_usage: Some("/stream_options/include_usage"),
    refuse,
};

fn refuse(refusal: &RequestRefusal<'_>) -> Response<Bytes> {
    let kind = refusal.by_reason(
        "invalid_request_error",
        "rate_limit_error",
        "invalid_request_error",
    );
    let code = refusal.by_reason("request_denied", "rate_limit_exceeded", "request_too_large");
    refusal.response(&json!({
        "error": { "message": refusal.message, "type": kind, "param": null, "code": code },
    }))
}
