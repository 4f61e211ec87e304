//! Amazon Bedrock: Converse and invoke, as binary event streams and as documents, whose heads have
//! figures, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::anthropic::usage;
use super::books::Tokens;
use super::dice::Dice;
use super::script::{Answer, Form, Known, Parts, Refusal, Shape, document};
use crate::wire::{event_stream_event, event_stream_frame};

pub const FORMS: &[Form] = &[
    Form {
        path: "/model/script-converse/converse-stream",
        model: "script-converse",
        answer: |dice, _| converse_stream(dice),
        may_be_coded: false,
        ..BEDROCK
    },
    Form {
        path: "/model/script-converse/converse",
        model: "script-converse",
        answer: |dice, _| converse(dice),
        ..BEDROCK
    },
    Form {
        path: "/model/script-invoke/invoke-with-response-stream",
        model: "script-invoke",
        answer: invoke_stream,
        may_be_coded: false,
        ..BEDROCK
    },
    Form {
        path: "/model/script-invoke/invoke",
        model: "script-invoke",
        answer: invoke,
        ..BEDROCK
    },
    Form {
        path: "/model/script-nova/invoke",
        model: "script-nova",
        answer: |dice, _| invoke_of_another_family(dice),
        ..BEDROCK
    },
];

const BEDROCK: Form = Form {
    host: "bedrock-runtime.us-east-1.amazonaws.com",
    path: "",
    provider: "aws.bedrock",
    model: "",
    operation: "chat",
    request: |dice, _| json!({ "messages": [{ "role": "user", "content": [{ "text": dice.text() }] }] }),
    answer: |dice, _| converse(dice),
    refusals: REFUSALS,
    may_be_coded: true,
};

const REFUSALS: &[Refusal] = &[
    (429, r#"{"message":"Too many requests"}"#, "rate_limited"),
    (400, r#"{"message":"malformed"}"#, "client_error"),
    (503, r#"{"message":"unavailable"}"#, "server_error"),
];

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Reasoning is a part of the output that is not told apart.
fn spent(dice: &mut Dice) -> Tokens {
    Tokens {
        tool_input: 0,
        thinking: 0,
        ..dice.tokens()
    }
}

/// `usage` of Converse: the input is without the cache, the total may be with it.
fn converse_usage(tokens: &Tokens, dice: &mut Dice) -> Value {
    let total = if dice.chance(50) {
        tokens.total()
    } else {
        tokens.input + tokens.output
    };
    json!({
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": total,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": tokens.cache_write(),
        "cacheDetails": [
            { "ttl": "1h", "inputTokens": tokens.cache_write_1h },
            { "ttl": "5m", "inputTokens": tokens.cache_write_5m },
        ],
    })
}

fn converse_stream(dice: &mut Dice) -> Answer {
    let mut parts = Parts::default();
    parts.push(event("messageStart", &json!({ "role": "assistant" })));
    for _ in 0..1 + dice.below(6) {
        let delta = match dice.below(3) {
            0 => json!({ "reasoningContent": { "text": dice.text() } }),
            1 => json!({ "toolUse": { "input": dice.text() } }),
            _ => json!({ "text": dice.text() }),
        };
        parts.push(event(
            "contentBlockDelta",
            &json!({ "contentBlockIndex": 0, "delta": delta }),
        ));
    }
    if broken_off(&mut parts, dice) {
        return parts.finish(EVENT_STREAM, Shape::LastWord);
    }
    parts.push(event("messageStop", &json!({ "stopReason": "end_turn" })));
    let tokens = spent(dice);
    parts.known = Known::of(tokens);
    parts.known.is_over = true;
    let usage = converse_usage(&tokens, dice);
    parts.push(event(
        "metadata",
        &json!({ "usage": usage, "metrics": { "latencyMs": 4100 } }),
    ));
    parts.finish(EVENT_STREAM, Shape::LastWord)
}

/// Ends some answers with an exception.
fn broken_off(parts: &mut Parts, dice: &mut Dice) -> bool {
    let is_broken = dice.chance(4);
    if is_broken {
        let (kind, outcome) = *dice.of(&[
            ("modelStreamErrorException", "stream_error"),
            ("throttlingException", "rate_limited"),
        ]);
        parts.known.error = Some(outcome);
        let headers = [(":exception-type", kind), (":message-type", "exception")];
        let data = json!({ "message": "x" }).to_string();
        parts.push(event_stream_frame(&headers, data.as_bytes()));
    }
    is_broken
}

fn converse(dice: &mut Dice) -> Answer {
    let tokens = spent(dice);
    let usage = converse_usage(&tokens, dice);
    document(
        &json!({ "metrics": { "latencyMs": 4100 },
        "output": { "message": { "role": "assistant", "content": [{ "text": dice.text() }] } },
        "stopReason": "end_turn", "usage": usage }),
        Known::of(tokens),
    )
}

/// A figure for each token, whatever the lifetime of what was written.
fn metrics(tokens: &Tokens) -> [(&'static str, &'static str, u64); 4] {
    [
        (
            "inputTokenCount",
            "x-amzn-bedrock-input-token-count",
            tokens.input,
        ),
        (
            "outputTokenCount",
            "x-amzn-bedrock-output-token-count",
            tokens.all_output(),
        ),
        (
            "cacheReadInputTokenCount",
            "x-amzn-bedrock-cache-read-input-token-count",
            tokens.cache_read,
        ),
        (
            "cacheWriteInputTokenCount",
            "x-amzn-bedrock-cache-write-input-token-count",
            tokens.cache_write(),
        ),
    ]
}

fn invoke_stream(dice: &mut Dice, model: &str) -> Answer {
    let tokens = Tokens {
        thinking: dice.tokens().thinking,
        ..spent(dice)
    };
    let mut parts = Parts::default();
    let placeholder = Tokens {
        output: 1,
        thinking: 0,
        ..tokens
    };
    let mut usage_at_start = usage(&placeholder);
    usage_at_start["output_tokens_details"].take();
    parts.known = Known::of(placeholder);
    parts.push(wrapped(
        &json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message",
        "model": model, "content": [], "usage": usage_at_start } }),
        dice,
    ));
    for _ in 0..1 + dice.below(6) {
        let delta = json!({ "type": "text_delta", "text": dice.text() });
        parts.push(wrapped(
            &json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
            dice,
        ));
    }
    if broken_off(&mut parts, dice) {
        return parts.finish(EVENT_STREAM, Shape::LastWord);
    }
    parts.known = Known::of(tokens);
    let figures = json!({ "output_tokens": tokens.all_output(),
        "output_tokens_details": { "thinking_tokens": tokens.thinking } });
    parts.push(wrapped(&json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": figures }), dice));
    parts.known.is_over = true;
    let metrics: serde_json::Map<_, _> = metrics(&tokens)
        .into_iter()
        .map(|(name, _, count)| (name.to_owned(), Value::from(count)))
        .collect();
    parts.push(wrapped(
        &json!({ "type": "message_stop", "amazon-bedrock-invocationMetrics": metrics }),
        dice,
    ));
    parts.finish(EVENT_STREAM, Shape::LastWord)
}

/// What only the head tells has no lifetime and no thinking.
fn known_by_head(tokens: &Tokens) -> Known {
    Known::of(Tokens {
        cache_write_5m: tokens.cache_write(),
        cache_write_1h: 0,
        output: tokens.all_output(),
        thinking: 0,
        ..*tokens
    })
}

fn with_head(mut answer: Answer, tokens: &Tokens) -> Answer {
    answer.head = known_by_head(tokens);
    answer.fields = metrics(tokens)
        .map(|(_, field, count)| (field, count.to_string()))
        .to_vec();
    answer
}

fn invoke(dice: &mut Dice, model: &str) -> Answer {
    let tokens = spent(dice);
    let data = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": model,
        "content": [{ "type": "text", "text": dice.text() }], "stop_reason": "end_turn", "usage": usage(&tokens) });
    with_head(document(&data, Known::of(tokens)), &tokens)
}

/// A document without any figure; the head has the only ones.
fn invoke_of_another_family(dice: &mut Dice) -> Answer {
    let tokens = spent(dice);
    let data = json!({ "generation": dice.text(), "stop_reason": "stop" });
    with_head(document(&data, known_by_head(&tokens)), &tokens)
}

/// A frame of `invoke-with-response-stream`: the event in base64, and padding.
fn wrapped(data: &Value, dice: &mut Dice) -> Vec<u8> {
    let padding = &"abcdefghijklmnopqrstuvwxyz"[..1 + dice.below(25)];
    event(
        "chunk",
        &json!({ "bytes": STANDARD.encode(data.to_string()), "p": padding }),
    )
}

fn event(kind: &str, data: &Value) -> Vec<u8> {
    event_stream_event(kind, &data.to_string())
}
