//! Anthropic's answers to Claude Code.

use serde_json::{Value, json};

use super::{Answer, Asked, Call, Tokens, USE_SUBAGENT, USE_TOOL};

/// An answer as events, or in one document, by which Claude Code finds out whether it may use a
/// model.
pub(super) fn answer(asked: &Asked, number: u64, is_stream: bool) -> Answer {
    let tokens = Tokens::of_answer(number);
    let text = format!("answer {number}");
    let answer = match is_stream {
        true => Answer::events(&events(asked, number, &text)),
        false => {
            let content = json!([{"type": "text", "text": text}]);
            let usage = usage(tokens, tokens.all_output());
            Answer::json(
                200,
                &message(asked, number, content, Some("end_turn"), usage),
            )
        }
    };
    answer.of_call(Call {
        is_stream,
        ..Call::answered(asked.model(), tokens, text)
    })
}

/// The first answer to a prompt that asks for a tool or a subagent calls it; every other one is a
/// text. Half of the cache is written for five minutes, half for an hour.
fn events(asked: &Asked, number: u64, text: &str) -> Vec<Value> {
    let messages = &asked.body["messages"];
    let is_first = !messages
        .as_array()
        .expect("messages")
        .iter()
        .any(|message| message["role"] == "assistant");
    let prompt = messages.to_string();
    let tool = |name: &str, input: Value| {
        let start =
            json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": {}});
        let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
        (start, delta, "tool_use")
    };
    let (start, delta, stop_reason) = if is_first && prompt.contains(USE_TOOL) {
        let input = json!({"command": "echo done", "description": "Say that it is done"});
        tool("Bash", input)
    } else if is_first && prompt.contains(USE_SUBAGENT) {
        let input = json!({"description": "Say it", "prompt": "say it", "subagent_type": "general-purpose"});
        tool("Agent", input)
    } else {
        let start = json!({"type": "text", "text": ""});
        (
            start,
            json!({"type": "text_delta", "text": text}),
            "end_turn",
        )
    };
    let tokens = Tokens::of_answer(number);
    let start_of_message = message(asked, number, json!([]), None, usage(tokens, 1));
    vec![
        json!({"type": "message_start", "message": start_of_message}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null},
            "usage": {
                "output_tokens": tokens.all_output(),
                "output_tokens_details": {"thinking_tokens": tokens.thinking},
            },
        }),
        json!({"type": "message_stop"}),
    ]
}

fn message(
    asked: &Asked,
    number: u64,
    content: Value,
    stop_reason: Option<&str>,
    usage: Value,
) -> Value {
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": asked.model(),
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

fn usage(tokens: Tokens, output_tokens: u64) -> Value {
    let half = tokens.cache_write / 2;
    let thinking_tokens = tokens.thinking.min(output_tokens - 1);
    json!({
        "input_tokens": tokens.input,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_creation": {
            "ephemeral_5m_input_tokens": half,
            "ephemeral_1h_input_tokens": tokens.cache_write - half,
        },
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": thinking_tokens},
        "service_tier": "standard",
    })
}
