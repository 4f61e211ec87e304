//! Gemini: events, an array and one document, plain and in the wrapper of Cloud Code; its counts are
//! cumulative, and what was cached is a part of the prompt.

use serde_json::{Value, json};

use super::books::Tokens;
use super::dice::Dice;
use super::script::{Answer, Form, Known, Parts, Refusal, Shape, document};

pub const FORMS: &[Form] = &[
    Form {
        path: "/v1beta/models/script-gemini:streamGenerateContent?alt=sse",
        answer: |dice, model| events(dice, model, false),
        ..GEMINI
    },
    Form {
        path: "/v1beta/models/script-gemini:streamGenerateContent",
        answer: array,
        ..GEMINI
    },
    GEMINI,
    Form {
        host: "daily-cloudcode-pa.googleapis.com",
        path: "/v1internal:streamGenerateContent?alt=sse",
        provider: "gcp.gen_ai",
        model: "script-antigravity",
        request: |dice, model| {
            json!({ "project": "p", "model": model, "userAgent": "antigravity",
            "requestType": "agent", "request": contents(dice) })
        },
        answer: |dice, model| events(dice, model, true),
        ..GEMINI
    },
    Form {
        host: "aiplatform.eu.rep.googleapis.com",
        path: "/v1/projects/p/locations/eu/publishers/google/models/script-vertex-gemini:streamGenerateContent?alt=sse",
        provider: "gcp.vertex_ai",
        model: "script-vertex-gemini",
        answer: |dice, model| events(dice, model, false),
        ..GEMINI
    },
];

const GEMINI: Form = Form {
    host: "generativelanguage.googleapis.com",
    path: "/v1beta/models/script-gemini:generateContent",
    provider: "gcp.gemini",
    model: "script-gemini",
    operation: "chat",
    request: |dice, _| contents(dice),
    answer: whole,
    refusals: REFUSALS,
    may_be_coded: true,
};

const REFUSALS: &[Refusal] = &[
    (
        429,
        r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}"#,
        "rate_limited",
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT"}}"#,
        "client_error",
    ),
    (
        500,
        r#"{"error":{"code":500,"message":"x","status":"INTERNAL"}}"#,
        "server_error",
    ),
];

fn contents(dice: &mut Dice) -> Value {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": dice.text() }] }] })
}

fn spent(dice: &mut Dice) -> Tokens {
    Tokens {
        cache_write_5m: 0,
        cache_write_1h: 0,
        ..dice.tokens()
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "promptTokenCount": tokens.input + tokens.cache_read,
        "cachedContentTokenCount": tokens.cache_read,
        "toolUsePromptTokenCount": tokens.tool_input,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.thinking,
        "totalTokenCount": tokens.total(),
    })
}

/// The documents of a stream, and what is known after each.
fn documents(dice: &mut Dice, model: &str) -> Vec<(Value, Known)> {
    let tokens = spent(dice);
    let pieces = 1 + dice.below(6) as u64;
    let mut known = Known::default();
    let mut documents = Vec::new();
    for piece in 1..=pieces {
        let part = json!({ "text": dice.text() });
        let mut data = json!({ "candidates": [{ "content": { "role": "model", "parts": [part] } }],
            "modelVersion": model, "responseId": "r-1" });
        // The last frame has all; one before it has what was generated so far, or no figure.
        let so_far = Tokens {
            output: 1 + (tokens.output - 1) * piece / pieces,
            ..tokens
        };
        if piece == pieces || dice.chance(60) {
            data["usageMetadata"] = usage(&so_far);
            known = Known::of(so_far);
        }
        if piece == pieces {
            data["candidates"][0]["finishReason"] = "STOP".into();
        }
        documents.push((data, known.clone()));
    }
    documents
}

fn events(dice: &mut Dice, model: &str, is_wrapped: bool) -> Answer {
    let mut parts = Parts::default();
    for (data, known) in documents(dice, model) {
        parts.known = known;
        let data = if is_wrapped {
            json!({ "response": data, "traceId": "8a37738c23d62245", "metadata": {} })
        } else {
            data
        };
        parts.event(None, &data);
    }
    parts.finish("text/event-stream", Shape::MessageEnd)
}

fn array(dice: &mut Dice, model: &str) -> Answer {
    let mut parts = Parts::default();
    for (number, (data, known)) in documents(dice, model).into_iter().enumerate() {
        parts.known = known;
        let before = if number == 0 { "[" } else { ",\r\n" };
        parts.push(format!("{before}{data:#}"));
    }
    parts.push("\n]\n");
    parts.finish("application/json; charset=UTF-8", Shape::MessageEnd)
}

fn whole(dice: &mut Dice, model: &str) -> Answer {
    let tokens = spent(dice);
    document(
        &json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": dice.text() }] },
        "finishReason": "STOP" }], "usageMetadata": usage(&tokens), "modelVersion": model }),
        Known::of(tokens),
    )
}
