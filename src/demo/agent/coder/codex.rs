//! What Codex sends and reads: Responses by a login with ChatGPT, with the names of its session,
//! thread and turn in header fields and in `client_metadata`.

use serde_json::{Value, json};

use super::{Reply, Speaker, count, data, post, text};
use crate::demo::agent::call::CallRequest;
use crate::demo::tally::Tokens;

/// A message of the user.
pub(super) fn message(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// The result of a tool.
pub(super) fn result(call: &str) -> Value {
    json!({"type": "function_call_output", "call_id": call, "output": "Exit code 0, two lines changed."})
}

/// The next step of an agent or subagent. `nonce` makes an attempt differ from the one before.
pub(super) fn request(
    speaker: &Speaker<'_>,
    history: &[Value],
    filler: usize,
    nonce: u64,
) -> (&'static str, CallRequest) {
    let thread = speaker.subagent.unwrap_or(speaker.session);
    let mut metadata = json!({"session_id": speaker.session, "thread_id": thread, "turn_id": speaker.turn,
        "x-codex-window-id": format!("{thread}:0"), "nonce": format!("{nonce:016x}")});
    let mut headers = vec![
        (
            "user-agent",
            "codex_cli_rs/0.171.0 (Linux; x86_64)".to_owned(),
        ),
        ("originator", "codex_cli_rs".to_owned()),
        ("session-id", speaker.session.to_owned()),
        ("thread-id", thread.to_owned()),
    ];
    if speaker.subagent.is_some() {
        for (name, value) in [
            ("x-codex-parent-thread-id", speaker.session),
            ("x-openai-subagent", "collab_spawn"),
        ] {
            headers.push((name, value.to_owned()));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert(name.to_owned(), value.into());
            }
        }
    }
    let body = json!({
        "model": MODEL, "stream": true, "store": false, "reasoning": {"effort": "medium"},
        "instructions": "i".repeat(filler), "tools": [{"type": "function", "name": "shell"}],
        "input": history, "client_metadata": metadata, "prompt_cache_key": speaker.session,
    });
    (MODEL, post(PATH, headers, &body))
}

/// Reads the events of an answer; `None` where they do not come to an end.
pub(super) fn read(body: &[u8]) -> Option<Reply> {
    let mut reply = Reply {
        tokens: Tokens::default(),
        response: None,
        tool: None,
        content: Vec::new(),
    };
    let mut has_ended = false;
    for event in data(body) {
        match text(&event, "/type")?.as_str() {
            "response.output_item.done" => {
                let item = event.get("item")?;
                let call = text(item, "/call_id").zip(text(item, "/name"));
                reply.tool = call.or(reply.tool.take());
                reply.content.push(item.clone());
            }
            "response.completed" => {
                let usage = event.pointer("/response/usage")?;
                let cache_read = count(usage, "/input_tokens_details/cached_tokens")?;
                let thinking = count(usage, "/output_tokens_details/reasoning_tokens")?;
                reply.response = text(&event, "/response/id");
                reply.tokens = Tokens {
                    input: count(usage, "/input_tokens")?.checked_sub(cache_read)?,
                    cache_read,
                    output: count(usage, "/output_tokens")?.checked_sub(thinking)?,
                    thinking,
                    ..Tokens::default()
                };
                has_ended = true;
            }
            _ => {}
        }
    }
    has_ended.then_some(reply)
}

const PATH: &str = "/backend-api/codex/responses";
const MODEL: &str = "gpt-5.6-sol";
