//! Responses: the events of a stream, the same in one document, and the same over a WebSocket.

use serde_json::{Value, json};

use super::books::{Call, Tokens};
use super::chat::REFUSALS;
use super::dice::Dice;
use super::script::{Answer, Form, Known, Parts, Shape, document};
use super::socket::{End, Session};

pub const FORMS: &[Form] = &[
    RESPONSES,
    Form {
        answer: whole,
        ..RESPONSES
    },
    Form {
        host: "script.openai.azure.com",
        path: "/openai/v1/responses",
        provider: "azure.ai.openai",
        model: "script-azure-responses",
        ..RESPONSES
    },
    // Over HTTP, where a socket cannot be had.
    Form {
        host: CODEX_HOST,
        path: CODEX_PATH,
        model: CODEX_MODEL,
        ..RESPONSES
    },
];

const RESPONSES: Form = Form {
    host: "api.openai.com",
    path: "/v1/responses",
    provider: "openai",
    model: "script-responses",
    operation: "chat",
    request: |dice, model| json!({ "model": model, "input": dice.text(), "stream": true }),
    answer: stream,
    refusals: REFUSALS,
    may_be_coded: true,
};

pub const CODEX_HOST: &str = "chatgpt.com";
const CODEX_PATH: &str = "/backend-api/codex/responses";
const CODEX_MODEL: &str = "script-codex";

fn spent(dice: &mut Dice) -> Tokens {
    Tokens {
        cache_write_1h: 0,
        tool_input: 0,
        ..dice.tokens()
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.all_input(),
        "input_tokens_details": { "cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write_5m },
        "output_tokens": tokens.all_output(),
        "output_tokens_details": { "reasoning_tokens": tokens.thinking },
        "total_tokens": tokens.total(),
    })
}

fn response(model: &str, status: &str, usage: Value) -> Value {
    json!({ "id": "resp_1", "object": "response", "status": status, "error": null, "model": model,
        "output": [], "usage": usage })
}

/// The events of an answer, and what is known after each.
fn events(dice: &mut Dice, model: &str) -> Vec<(Value, Known)> {
    let mut events = Vec::new();
    for kind in ["response.created", "response.in_progress"] {
        let data = json!({ "type": kind, "response": response(model, "in_progress", Value::Null) });
        events.push((data, Known::default()));
    }
    let deltas = [
        "response.output_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
    ];
    for _ in 0..1 + dice.below(6) {
        let data = json!({ "type": dice.of(&deltas), "item_id": "msg_1", "output_index": 0, "delta": dice.text() });
        events.push((data, Known::default()));
    }
    let tokens = spent(dice);
    let mut known = Known::of(tokens);
    known.is_over = true;
    let mut last = match dice.below(25) {
        0 => {
            known.error = Some("stream_error");
            let mut data = json!({ "type": "response.failed", "response": response(model, "failed", usage(&tokens)) });
            data["response"]["error"] = json!({ "code": "server_error", "message": "x" });
            data
        }
        1 => {
            known = Known {
                is_over: true,
                error: Some("rate_limited"),
                ..Known::default()
            };
            let mut data = json!({ "type": "response.failed", "response": response(model, "failed", Value::Null) });
            data["response"]["error"] = json!({ "code": "rate_limit_exceeded", "message": "x" });
            data
        }
        2 => {
            let mut data = json!({ "type": "response.incomplete", "response": response(model, "incomplete", usage(&tokens)) });
            data["response"]["incomplete_details"] = json!({ "reason": "max_output_tokens" });
            data
        }
        _ => {
            json!({ "type": "response.completed", "response": response(model, "completed", usage(&tokens)) })
        }
    };
    // The terminal event repeats the whole output.
    last["response"]["output"] =
        json!([{ "type": "message", "content": [{ "type": "output_text", "text": dice.text() }] }]);
    events.push((last, known));
    events
}

fn stream(dice: &mut Dice, model: &str) -> Answer {
    let mut parts = Parts::default();
    for (data, known) in events(dice, model) {
        parts.known = known;
        let name = data["type"].as_str().expect("a type").to_owned();
        parts.event(Some(&name), &data);
    }
    parts.finish("text/event-stream", Shape::LastWord)
}

fn whole(dice: &mut Dice, model: &str) -> Answer {
    let tokens = spent(dice);
    document(
        &response(model, "completed", usage(&tokens)),
        Known::of(tokens),
    )
}

/// A WebSocket of Codex with several calls, one after the other; the last one may fail.
pub fn session(dice: &mut Dice) -> Session {
    let is_deflated = dice.chance(50);
    let (mut agent, mut provider) = (End::agent(is_deflated), End::provider(is_deflated));
    let mut session = Session::new(CODEX_HOST, CODEX_PATH, is_deflated);
    if dice.chance(30) {
        let warm_up = json!({ "type": "response.create", "model": CODEX_MODEL, "input": [], "generate": false });
        let warmed_up = json!({ "type": "response.completed", "response": response(CODEX_MODEL, "completed", Value::Null) });
        session.turn(
            agent.message(&warm_up, dice),
            provider.message(&warmed_up, dice),
        );
    }
    let count = 1 + dice.below(5);
    for number in 1..=count {
        let mut ask = json!({ "type": "response.create", "model": CODEX_MODEL,
            "input": [{ "type": "message", "role": "user", "content": dice.text() }] });
        if number > 1 {
            ask["previous_response_id"] = "resp_1".into();
        }
        let question = agent.message(&ask, dice);
        let mut events = events(dice, CODEX_MODEL);
        let (breaks, refuses) = (number == count && dice.chance(20), dice.chance(4));
        if refuses {
            let error = json!({ "type": "error", "status": 429,
                "error": { "type": "usage_limit_reached", "message": "x" } });
            session.turn(question, provider.message(&error, dice));
            session.calls.push(Call {
                quality: "exact",
                ..call("rate_limited", &Known::default())
            });
            continue;
        }
        if breaks {
            events.truncate(1 + dice.below(events.len() - 1));
        }
        let mut answer = Vec::new();
        for (data, _) in &events {
            answer.extend(provider.message(data, dice));
        }
        session.turn(question, answer);
        let known = &events.last().expect("an event").1;
        let outcome = if breaks {
            "truncated"
        } else {
            known.error.unwrap_or("ok")
        };
        session.calls.push(call(outcome, known));
    }
    session
}

fn call(outcome: &'static str, known: &Known) -> Call {
    let quality = match (known.tokens, outcome) {
        (None, _) => "unknown",
        (Some(_), "ok") => "exact",
        (Some(_), _) => "partial",
    };
    Call {
        provider: RESPONSES.provider,
        model: CODEX_MODEL,
        operation: RESPONSES.operation,
        outcome,
        quality,
        tokens: known.tokens.unwrap_or_default(),
        charge: None,
        contradicts: false,
    }
}
