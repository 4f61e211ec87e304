//! Anthropic Messages, as Claude Code asks for them: events with thinking, text and calls of tools,
//! cache writes of both lifetimes, and what is left of a subscription.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::answer::Script;
use super::counted::{CountedBody, complete_response, events, invalid, set};
use super::plan::chance;
use crate::demo::Tokens;

/// Where messages are asked for.
pub(super) const PATH: &str = "/v1/messages";

/// What one answer will be.
struct Message {
    id: String,
    tokens: Tokens,
    /// The tool that is called, if any.
    tool: Option<&'static str>,
    thinks: bool,
}

pub(super) fn answer(script: &Script, headers: &HeaderMap, body: &Bytes) -> Response<CountedBody> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return invalid("the body is not JSON");
    };
    let Some(model) = request.get("model").and_then(Value::as_str) else {
        return invalid("no model is named");
    };
    let mut rng = script.options.rng(body);
    if chance(&mut rng, script.options.refused_percent) {
        script.tally.update(|tally| tally.model(model).refused += 1);
        return refusal();
    }
    let is_subagent = headers.contains_key("x-claude-code-agent-id");
    let message = Message::draw(&request, is_subagent, &mut rng);
    let first_chunk = script.options.first_chunk(&mut rng);
    let mut response = events(script, model, message.pieces(model), first_chunk);
    limits(&mut response);
    response
}

impl Message {
    /// The conversation so far is read from the cache, and what is new is written to it.
    fn draw(request: &Value, is_subagent: bool, rng: &mut StdRng) -> Self {
        let id = format!("msg_{:016x}", rng.random::<u64>());
        let messages = request.get("messages").and_then(Value::as_array);
        let messages = messages.map_or(&[][..], Vec::as_slice);
        let has_tools = request.get("tools").is_some();
        if !has_tools {
            // A title.
            let tokens = Tokens {
                input: size(messages) + 300,
                output: rng.random_range(8..24),
                ..Tokens::default()
            };
            return Self {
                id,
                tokens,
                tool: None,
                thinks: false,
            };
        }
        let (old, new) = messages.split_at(messages.len().saturating_sub(2));
        let is_first = old.is_empty();
        let written = size(new) + rng.random_range(200..2_500);
        let thinks = chance(rng, 60);
        let tool = tool(messages, is_subagent, rng);
        let tokens = Tokens {
            input: rng.random_range(3..12),
            cache_read: if is_first { 0 } else { PROMPT + size(old) },
            cache_write_5m: written,
            cache_write_1h: if is_first { PROMPT } else { 0 },
            output: rng.random_range(40..700),
            thinking: if thinks { rng.random_range(60..900) } else { 0 },
            ..Tokens::default()
        };
        Self {
            id,
            tokens,
            tool,
            thinks,
        }
    }

    /// The events, each with what a reader knows of the tokens after it.
    fn pieces(&self, model: &str) -> Vec<(Bytes, Tokens)> {
        let all = self.tokens;
        let begun = Tokens {
            output: 1,
            thinking: 0,
            ..all
        };
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
        push(
            "message_start",
            begun,
            json!({"message": {"id": self.id, "type": "message", "role": "assistant", "model": model,
                "content": [], "stop_reason": null, "usage": {
                    "input_tokens": all.input, "cache_read_input_tokens": all.cache_read,
                    "cache_creation_input_tokens": all.cache_write_5m + all.cache_write_1h,
                    "cache_creation": {"ephemeral_5m_input_tokens": all.cache_write_5m,
                                       "ephemeral_1h_input_tokens": all.cache_write_1h},
                    "output_tokens": 1, "service_tier": "standard"}}}),
        );
        push("ping", begun, json!({}));
        let mut index = 0;
        let mut block = |start: Value, deltas: &[Value]| {
            push(
                "content_block_start",
                begun,
                json!({"index": index, "content_block": start}),
            );
            for delta in deltas {
                push(
                    "content_block_delta",
                    begun,
                    json!({"index": index, "delta": delta}),
                );
            }
            push("content_block_stop", begun, json!({"index": index}));
            index += 1;
        };
        if self.thinks {
            let delta = json!({"type": "thinking_delta", "thinking": "Überlegung. "});
            block(
                json!({"type": "thinking", "thinking": ""}),
                &[delta.clone(), delta],
            );
        }
        let delta = json!({"type": "text_delta", "text": "A few words → gravité. "});
        block(
            json!({"type": "text", "text": ""}),
            &[delta.clone(), delta.clone(), delta],
        );
        if let Some(tool) = self.tool {
            let delta = json!({"type": "input_json_delta", "partial_json": "{}"});
            block(
                json!({"type": "tool_use", "id": format!("toolu_{}", self.id), "name": tool, "input": {}}),
                &[delta],
            );
        }
        let stop_reason = if self.tool.is_some() {
            "tool_use"
        } else {
            "end_turn"
        };
        push(
            "message_delta",
            all,
            json!({"delta": {"stop_reason": stop_reason, "stop_sequence": null}, "usage": {
                "output_tokens": all.output + all.thinking,
                "output_tokens_details": {"thinking_tokens": all.thinking}}}),
        );
        push("message_stop", all, json!({}));
        pieces
    }
}

/// Of each message of the user the model calls a few tools, and sometimes a subagent, before it
/// answers. A subagent has none of its own.
fn tool(messages: &[Value], is_subagent: bool, rng: &mut StdRng) -> Option<&'static str> {
    let results = messages.iter().rev().step_by(2).take_while(|message| {
        let first = message.pointer("/content/0/type");
        first.and_then(Value::as_str) == Some("tool_result")
    });
    let results = results.count();
    if results >= MAX_TOOLS || !chance(rng, 65) {
        return None;
    }
    Some(if !is_subagent && chance(rng, 25) {
        SUBAGENT_TOOL
    } else {
        "Bash"
    })
}

/// About the number of tokens of messages.
fn size(messages: &[Value]) -> u64 {
    let bytes: usize = messages
        .iter()
        .map(|message| message.to_string().len())
        .sum();
    bytes as u64 / 4
}

/// A plan that is partly used.
fn limits(response: &mut Response<CountedBody>) {
    let reset = |hours| (Timestamp::now() + SignedDuration::from_hours(hours)).as_second();
    for (name, value) in [
        ("anthropic-ratelimit-unified-status", "allowed".to_owned()),
        (
            "anthropic-ratelimit-unified-5h-status",
            "allowed".to_owned(),
        ),
        (
            "anthropic-ratelimit-unified-5h-utilization",
            "0.42".to_owned(),
        ),
        ("anthropic-ratelimit-unified-5h-reset", reset(5).to_string()),
        (
            "anthropic-ratelimit-unified-7d-status",
            "allowed".to_owned(),
        ),
        (
            "anthropic-ratelimit-unified-7d-utilization",
            "0.71".to_owned(),
        ),
        (
            "anthropic-ratelimit-unified-7d-reset",
            reset(7 * 24).to_string(),
        ),
    ] {
        set(response, HeaderName::from_static(name), &value);
    }
}

fn refusal() -> Response<CountedBody> {
    let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Number of requests has exceeded your rate limit."}});
    let mut response = complete_response(
        StatusCode::TOO_MANY_REQUESTS,
        error.to_string().into(),
        "application/json",
    );
    set(&mut response, header::RETRY_AFTER, "1");
    response
}

/// The tool that starts a subagent.
const SUBAGENT_TOOL: &str = "Task";

/// Tokens of the system prompt and of the descriptions of tools.
const PROMPT: u64 = 17_500;

/// Most tools in one turn.
const MAX_TOOLS: usize = 4;
