//! Anthropic Messages: the events of a stream, whose figures are cumulative, and the same in one
//! document; with compactions and an advisor, whose tokens stand beside the figures at the top.

use serde_json::{Value, json};

use super::books::Tokens;
use super::dice::Dice;
use super::script::{Answer, Form, Known, Parts, Refusal, Shape, document};

const CLAUDE: &str = "script-claude";
const ADVISOR: &str = "script-advisor";

pub const FORMS: &[Form] = &[
    Form {
        path: "/v1/messages?beta=true",
        answer: |dice, model| stream(dice, model, true),
        ..DOCUMENT
    },
    DOCUMENT,
    Form {
        host: "aiplatform.eu.rep.googleapis.com",
        path: "/v1/projects/p/locations/eu/publishers/anthropic/models/script-vertex:streamRawPredict",
        provider: "gcp.vertex_ai",
        model: "script-vertex",
        answer: |dice, model| stream(dice, model, false),
        ..DOCUMENT
    },
    Form {
        host: "script.services.ai.azure.com",
        path: "/anthropic/v1/messages",
        provider: "azure.ai.inference",
        model: "script-foundry",
        answer: |dice, model| stream(dice, model, false),
        ..DOCUMENT
    },
    Form {
        host: "api.githubcopilot.com",
        path: "/v1/messages",
        provider: "github.copilot",
        model: "script-copilot-claude",
        answer: |dice, model| stream(dice, model, false),
        ..DOCUMENT
    },
];

const DOCUMENT: Form = Form {
    host: "api.anthropic.com",
    path: "/v1/messages",
    provider: "anthropic",
    model: CLAUDE,
    operation: "chat",
    request,
    answer: whole,
    refusals: REFUSALS,
    may_be_coded: true,
};

const REFUSALS: &[Refusal] = &[
    (
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
        "rate_limited",
    ),
    (
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
        "rate_limited",
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#,
        "client_error",
    ),
    (
        500,
        r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#,
        "server_error",
    ),
];

fn request(dice: &mut Dice, model: &str) -> Value {
    json!({ "model": model, "max_tokens": 1024, "stream": true,
        "messages": [{ "role": "user", "content": dice.text() }] })
}

/// What the model itself has spent.
fn spent(dice: &mut Dice) -> Tokens {
    Tokens {
        tool_input: 0,
        ..dice.tokens()
    }
}

/// `usage` of a message; thinking is a part of the output.
pub fn usage(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation_input_tokens": tokens.cache_write(),
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": tokens.all_output(),
        "output_tokens_details": { "thinking_tokens": tokens.thinking },
    })
}

/// An entry of `usage.iterations`, which has no figure for thinking.
fn iteration(kind: &str, model: Option<&str>, tokens: &Tokens) -> Value {
    let mut entry = usage(tokens);
    entry["type"] = kind.into();
    entry["output_tokens_details"].take();
    if let Some(model) = model {
        entry["model"] = model.into();
    }
    entry
}

/// Adds iterations to the figures of a message: `usage`, and what is known from it.
fn iterations(dice: &mut Dice, model: &str, tokens: &Tokens, usage: &mut Value) -> Known {
    let mut known = Known::of(*tokens);
    if dice.chance(60) {
        return known;
    }
    let mut entries = Vec::new();
    let mut all = *tokens;
    let part = |dice: &mut Dice| Tokens {
        thinking: 0,
        ..spent(dice)
    };
    for _ in 0..dice.below(3) {
        let compaction = part(dice);
        entries.push(iteration("compaction", None, &compaction));
        all += compaction;
    }
    // The top has this already.
    entries.push(iteration("message", Some(model), tokens));
    if dice.chance(50) {
        let advice = part(dice);
        entries.push(iteration("advisor_message", Some(ADVISOR), &advice));
        known.others.push((ADVISOR, advice));
    }
    usage["iterations"] = entries.into();
    known.tokens = Some(all);
    known
}

fn stream(dice: &mut Dice, model: &str, may_iterate: bool) -> Answer {
    let tokens = spent(dice);
    let mut parts = Parts::default();
    let placeholder = Tokens {
        output: 1 + dice.below(4) as u64,
        thinking: 0,
        ..tokens
    };
    let mut usage_at_start = usage(&placeholder);
    usage_at_start["output_tokens_details"].take();
    parts.known = Known::of(placeholder);
    named(
        &mut parts,
        json!({ "type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "usage": usage_at_start } }),
    );
    named(
        &mut parts,
        json!({ "type": "content_block_start", "index": 0,
        "content_block": { "type": "text", "text": "" } }),
    );
    for _ in 0..1 + dice.below(6) {
        if dice.chance(20) {
            named(&mut parts, json!({ "type": "ping" }));
        }
        let delta = match dice.below(3) {
            0 => json!({ "type": "thinking_delta", "thinking": dice.text() }),
            1 => json!({ "type": "input_json_delta", "partial_json": dice.text() }),
            _ => json!({ "type": "text_delta", "text": dice.text() }),
        };
        named(
            &mut parts,
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        );
    }
    if dice.chance(4) {
        let (error, outcome) = *dice.of(&[
            ("api_error", "stream_error"),
            ("overloaded_error", "rate_limited"),
            ("rate_limit_error", "rate_limited"),
        ]);
        parts.known.error = Some(outcome);
        named(
            &mut parts,
            json!({ "type": "error", "error": { "type": error, "message": dice.text() } }),
        );
        return parts.finish("text/event-stream; charset=utf-8", Shape::LastWord);
    }
    named(
        &mut parts,
        json!({ "type": "content_block_stop", "index": 0 }),
    );
    // An earlier message_delta counts less of the output; the last one holds.
    if dice.chance(30) {
        let earlier = Tokens {
            output: tokens.output.div_ceil(2),
            ..tokens
        };
        parts.known = Known::of(earlier);
        delta(
            &mut parts,
            Value::Null,
            json!({ "output_tokens": earlier.all_output(),
            "output_tokens_details": { "thinking_tokens": earlier.thinking } }),
        );
    }
    let mut figures = json!({ "output_tokens": tokens.all_output(),
        "output_tokens_details": { "thinking_tokens": tokens.thinking } });
    if dice.chance(50) {
        figures["input_tokens"] = tokens.input.into();
        figures["cache_read_input_tokens"] = tokens.cache_read.into();
        figures["cache_creation_input_tokens"] = tokens.cache_write().into();
    }
    parts.known = if may_iterate {
        iterations(dice, model, &tokens, &mut figures)
    } else {
        Known::of(tokens)
    };
    delta(&mut parts, "end_turn".into(), figures);
    parts.known.is_over = true;
    named(&mut parts, json!({ "type": "message_stop" }));
    parts.finish("text/event-stream; charset=utf-8", Shape::LastWord)
}

fn delta(parts: &mut Parts, stop_reason: Value, usage: Value) {
    named(
        parts,
        json!({ "type": "message_delta",
        "delta": { "stop_reason": stop_reason, "stop_sequence": null }, "usage": usage }),
    );
}

/// An event is named like the type of its data.
fn named(parts: &mut Parts, data: Value) {
    let name = data["type"].as_str().expect("a type").to_owned();
    parts.event(Some(&name), &data);
}

fn whole(dice: &mut Dice, model: &str) -> Answer {
    let tokens = spent(dice);
    let mut figures = usage(&tokens);
    let known = iterations(dice, model, &tokens, &mut figures);
    document(
        &json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": model,
        "content": [{ "type": "text", "text": dice.text() }], "stop_reason": "end_turn",
        "stop_sequence": null, "usage": figures }),
        known,
    )
}
