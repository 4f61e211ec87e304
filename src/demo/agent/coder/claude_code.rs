//! What Claude Code sends and reads: Anthropic Messages, with the header fields in which it names
//! its conversation, its subagent and its turn.

use serde_json::{Value, json};

use super::{Reply, Speaker, count, data, post, text};
use crate::demo::agent::call::CallRequest;
use crate::demo::tally::Tokens;

/// A message of the user.
pub(super) fn message(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// The result of a tool.
pub(super) fn result(call: &str) -> Value {
    let result = json!({"type": "tool_result", "tool_use_id": call, "content": "Found a few lines of interest in two files."});
    json!({"role": "user", "content": [result]})
}

/// The next step of an agent or subagent. `nonce` makes an attempt differ from the one before.
pub(super) fn request(
    speaker: &Speaker<'_>,
    history: &[Value],
    filler: usize,
    nonce: u64,
) -> CallRequest {
    let class = if speaker.subagent.is_some() {
        "subagent"
    } else {
        "main"
    };
    let tool = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
    let body = json!({
        "model": MODEL, "max_tokens": 32_000, "stream": true, "output_config": {"effort": "high"},
        "system": [{"type": "text", "text": "s".repeat(filler)}],
        "tools": [tool("Bash"), tool(SUBAGENT_TOOL)],
        "messages": history, "metadata": {"user_id": format!("demo_{nonce:016x}")},
    });
    post(PATH, headers(speaker, class), &body)
}

/// A title for the conversation, which the light model gives.
pub(super) fn title(speaker: &Speaker<'_>, nonce: u64) -> CallRequest {
    let body = json!({
        "model": TITLE_MODEL, "max_tokens": 64, "stream": true,
        "messages": [message("Write a title for this conversation.")],
        "metadata": {"user_id": format!("demo_{nonce:016x}")},
    });
    post(PATH, headers(speaker, "auxiliary"), &body)
}

/// Reads the events of an answer; `None` where they do not come to an end.
pub(super) fn read(body: &[u8]) -> Option<Reply> {
    let mut reply = Reply {
        tokens: Tokens::default(),
        response: None,
        tool: None,
        content: Vec::new(),
    };
    let mut blocks = Vec::new();
    let mut has_ended = false;
    for event in data(body) {
        let tokens = &mut reply.tokens;
        match text(&event, "/type")?.as_str() {
            "message_start" => {
                reply.response = text(&event, "/message/id");
                let usage = event.pointer("/message/usage")?;
                tokens.input = count(usage, "/input_tokens")?;
                tokens.cache_read = count(usage, "/cache_read_input_tokens")?;
                tokens.cache_write_5m = count(usage, "/cache_creation/ephemeral_5m_input_tokens")?;
                tokens.cache_write_1h = count(usage, "/cache_creation/ephemeral_1h_input_tokens")?;
            }
            "content_block_start" => {
                let block = event.get("content_block")?;
                let call = text(block, "/id").zip(text(block, "/name"));
                reply.tool = call.or(reply.tool.take());
                blocks.push(block.clone());
            }
            "message_delta" => {
                tokens.thinking = count(&event, "/usage/output_tokens_details/thinking_tokens")?;
                tokens.output =
                    count(&event, "/usage/output_tokens")?.checked_sub(tokens.thinking)?;
            }
            "message_stop" => has_ended = true,
            _ => {}
        }
    }
    reply.content = vec![json!({"role": "assistant", "content": blocks})];
    has_ended.then_some(reply)
}

fn headers(speaker: &Speaker<'_>, class: &str) -> Vec<(&'static str, String)> {
    let always = [
        ("user-agent", "claude-cli/2.1.332 (external, cli)"),
        ("anthropic-version", "2023-06-01"),
        ("x-app", "cli"),
        ("x-claude-code-session-id", speaker.session),
        ("x-claude-code-prompt-id", speaker.turn),
        ("x-claude-code-request-class", class),
    ];
    let subagent = speaker.subagent.into_iter().flat_map(|id| {
        [
            ("x-claude-code-agent-id", id),
            ("x-claude-code-agent-type", "Explore"),
        ]
    });
    let all = always.into_iter().chain(subagent);
    all.map(|(name, value)| (name, value.to_owned())).collect()
}

/// The tool that starts a subagent.
pub(super) const SUBAGENT_TOOL: &str = "Task";

const PATH: &str = "/v1/messages?beta=true";
pub(super) const MODEL: &str = "claude-opus-4-8";
pub(super) const TITLE_MODEL: &str = "claude-haiku-4-5";
