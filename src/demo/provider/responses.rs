//! OpenAI's Responses, as Codex asks for them by a login with ChatGPT: events with reasoning, text
//! and calls of tools, without a media type, and what is left of a plan.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::answer::Script;
use super::counted::{CountedBody, complete_response, events, invalid, set};
use super::plan::chance;
use crate::demo::Tokens;

/// Where responses are asked for.
pub(super) const PATH: &str = "/backend-api/codex/responses";

/// What one answer will be.
struct Reply {
    id: String,
    tokens: Tokens,
    calls_tool: bool,
}

pub(super) fn answer(script: &Script, body: &Bytes) -> Response<CountedBody> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return invalid("the body is not JSON");
    };
    let Some(model) = request.get("model").and_then(Value::as_str) else {
        return invalid("no model is named");
    };
    let mut rng = script.options.rng(body);
    if chance(&mut rng, script.options.refused_percent) {
        script.tally.update(|tally| tally.model(model).refused += 1);
        let error = json!({"error": {"type": "rate_limit_exceeded", "code": "rate_limit_exceeded",
            "message": "Rate limit reached. Please try again in 1.0s."}});
        return complete_response(
            StatusCode::TOO_MANY_REQUESTS,
            error.to_string().into(),
            "application/json",
        );
    }
    let reply = Reply::draw(&request, &mut rng);
    let first_chunk = script.options.first_chunk(&mut rng);
    let mut response = events(script, model, reply.pieces(model), first_chunk);
    // ChatGPT does not say what it sends.
    response.headers_mut().remove(header::CONTENT_TYPE);
    limits(&mut response);
    response
}

impl Reply {
    fn draw(request: &Value, rng: &mut StdRng) -> Self {
        let input = request.get("input").and_then(Value::as_array);
        let input = input.map_or(&[][..], Vec::as_slice);
        let results = input.iter().rev().step_by(2).take_while(|item| {
            item.get("type").and_then(Value::as_str) == Some("function_call_output")
        });
        let calls_tool = results.count() < MAX_TOOLS && chance(rng, 65);
        let (old, new) = input.split_at(input.len().saturating_sub(2));
        let cached = if old.is_empty() {
            0
        } else {
            PROMPT + size(old)
        };
        let prompt = PROMPT + size(old) + size(new) + rng.random_range(100..1_500);
        let tokens = Tokens {
            input: prompt - cached,
            cache_read: cached,
            output: rng.random_range(30..500),
            thinking: if chance(rng, 80) {
                rng.random_range(64..1_200)
            } else {
                0
            },
            ..Tokens::default()
        };
        Self {
            id: format!("resp_{:016x}", rng.random::<u64>()),
            tokens,
            calls_tool,
        }
    }

    /// The events, each with what a reader knows of the tokens after it.
    fn pieces(&self, model: &str) -> Vec<(Bytes, Tokens)> {
        let mut pieces = Vec::new();
        let mut push = |kind: &str, known: Tokens, mut data: Value| {
            if let Some(data) = data.as_object_mut() {
                data.insert("type".to_owned(), kind.into());
            }
            pieces.push((
                Bytes::from(format!("event: {kind}\ndata: {data}\n\n")),
                known,
            ));
        };
        let none = Tokens::default();
        let response = |status: &str, usage: Value| json!({"response": {"id": self.id, "object": "response", "model": model, "status": status, "usage": usage}});
        push(
            "response.created",
            none,
            response("in_progress", Value::Null),
        );
        for _ in 0..2 {
            push(
                "response.reasoning_summary_text.delta",
                none,
                json!({"delta": "Überlegung. "}),
            );
        }
        for _ in 0..3 {
            push(
                "response.output_text.delta",
                none,
                json!({"delta": "A few words → gravité. "}),
            );
        }
        let message = json!({"type": "message", "role": "assistant", "content": []});
        push("response.output_item.done", none, json!({"item": message}));
        if self.calls_tool {
            let call = json!({"type": "function_call", "name": "shell", "call_id": format!("call_{}", self.id), "arguments": "{}"});
            push("response.output_item.done", none, json!({"item": call}));
        }
        let Tokens {
            input,
            cache_read,
            output,
            thinking,
            ..
        } = self.tokens;
        let usage = json!({"input_tokens": input + cache_read, "input_tokens_details": {"cached_tokens": cache_read},
            "output_tokens": output + thinking, "output_tokens_details": {"reasoning_tokens": thinking},
            "total_tokens": self.tokens.total()});
        push(
            "response.completed",
            self.tokens,
            response("completed", usage),
        );
        pieces
    }
}

/// About the number of tokens of items.
fn size(items: &[Value]) -> u64 {
    let bytes: usize = items.iter().map(|item| item.to_string().len()).sum();
    bytes as u64 / 4
}

/// A plan that is partly used.
fn limits(response: &mut Response<CountedBody>) {
    let reset = |hours| (Timestamp::now() + SignedDuration::from_hours(hours)).as_second();
    for (name, value) in [
        ("x-codex-primary-used-percent", "37.0".to_owned()),
        ("x-codex-primary-window-minutes", "300".to_owned()),
        ("x-codex-primary-reset-at", reset(5).to_string()),
        ("x-codex-secondary-used-percent", "12.0".to_owned()),
        ("x-codex-secondary-window-minutes", "10080".to_owned()),
        ("x-codex-secondary-reset-at", reset(7 * 24).to_string()),
    ] {
        set(response, HeaderName::from_static(name), &value);
    }
}

/// Tokens of the instructions and of the descriptions of tools.
const PROMPT: u64 = 11_000;

/// Most tools in one turn.
const MAX_TOOLS: usize = 4;
