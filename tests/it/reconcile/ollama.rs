//! Ollama's own API: a document on each line, of which the last one has the figures.

use serde_json::{Value, json};

use super::books::Tokens;
use super::dice::Dice;
use super::script::{Answer, Form, Known, Parts, Refusal, Shape, document};

pub const FORMS: &[Form] = &[
    OLLAMA,
    Form {
        answer: whole,
        ..OLLAMA
    },
];

const OLLAMA: Form = Form {
    host: "gpu.internal",
    path: "/api/chat",
    provider: "ollama",
    model: "script-ollama",
    operation: "chat",
    request: |dice, model| json!({ "model": model, "messages": [{ "role": "user", "content": dice.text() }] }),
    answer: stream,
    refusals: &[REFUSAL],
    may_be_coded: true,
};

const REFUSAL: Refusal = (404, r#"{"error":"model not found"}"#, "client_error");

fn reply(model: &str, content: &str) -> Value {
    json!({ "model": model, "created_at": "2026-01-01T00:00:00Z",
        "message": { "role": "assistant", "content": content }, "done": false })
}

/// The document with which an answer ends, and its tokens.
fn last(dice: &mut Dice, model: &str, content: &str) -> (Value, Tokens) {
    let Tokens { input, output, .. } = dice.tokens();
    let tokens = Tokens {
        input,
        output,
        ..Tokens::default()
    };
    let mut last = reply(model, content);
    last["done"] = true.into();
    last["done_reason"] = "stop".into();
    last["prompt_eval_count"] = input.into();
    last["eval_count"] = output.into();
    (last, tokens)
}

fn stream(dice: &mut Dice, model: &str) -> Answer {
    let mut parts = Parts::default();
    for _ in 0..1 + dice.below(6) {
        let text = dice.text();
        parts.push(format!("{}\n", reply(model, &text)));
    }
    if dice.chance(3) {
        parts.known.error = Some("stream_error");
        parts.push("{\"error\":\"x\"}\n");
    } else {
        let (last, tokens) = last(dice, model, "");
        parts.known = Known::of(tokens);
        parts.known.is_over = true;
        parts.push(format!("{last}\n"));
    }
    parts.finish("application/x-ndjson", Shape::LastWord)
}

fn whole(dice: &mut Dice, model: &str) -> Answer {
    let text = dice.text();
    let (last, tokens) = last(dice, model, &text);
    document(&last, Known::of(tokens))
}
