//! What Codex sends and reads: Responses by a login with ChatGPT, over a WebSocket for each of its
//! threads, with the names of its session, thread and turn in header fields and in
//! `client_metadata`.
//!
//! As the real one does, it opens a socket with a request that generates nothing, and sends only
//! what is new since the response before.

use std::collections::BTreeMap;

use http::StatusCode;
use rand::Rng as _;
use serde_json::{Value, json};

use super::{Asked, Coder, Reply, Speaker, count, text};
use crate::demo::agent::socket::AgentSocket;
use crate::demo::tally::Tokens;

/// The open sockets, by thread.
#[derive(Default)]
pub(super) struct OpenSockets(BTreeMap<String, Thread>);

/// The socket of a thread, and what the provider knows of its history.
struct Thread {
    socket: AgentSocket,
    /// The last response.
    previous: String,
    /// So many items of the history were sent or received.
    known: usize,
}

impl OpenSockets {
    /// Closes the socket of a thread that is over.
    pub(super) async fn close(&mut self, thread: &str) {
        if let Some(thread) = self.0.remove(thread) {
            thread.socket.close().await;
        }
    }

    /// Closes all of them.
    pub(super) async fn close_all(&mut self) {
        for (_, thread) in std::mem::take(&mut self.0) {
            thread.socket.close().await;
        }
    }
}

/// A message of the user.
pub(super) fn message(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// The result of a tool.
pub(super) fn result(call: &str) -> Value {
    json!({"type": "function_call_output", "call_id": call, "output": "Exit code 0, two lines changed."})
}

/// Asks for the next step of the agent or of a subagent.
pub(super) async fn ask(coder: &mut Coder, speaker: &Speaker<'_>, history: &[Value]) -> Asked {
    let id = speaker.subagent.unwrap_or(speaker.session);
    // A thread whose socket breaks is opened anew, with all of its history.
    let thread = match coder.sockets.0.remove(id) {
        Some(open) => Some(open),
        None => open(coder, speaker).await,
    };
    let Some(mut thread) = thread else {
        return Asked::Nothing;
    };
    let new = history.get(thread.known..).unwrap_or_default();
    let nonce = coder.rng.random();
    let request = request(
        speaker,
        new,
        Some(&thread.previous),
        coder.options.upload_bytes,
        nonce,
    );
    let Some(events) = coder
        .client
        .exchange_over(&mut thread.socket, &request)
        .await
    else {
        return Asked::Nothing;
    };
    let asked = read(&events);
    if let Asked::Reply(reply) = &asked {
        thread.known = history.len() + reply.content.len();
        thread.previous = reply.response.clone().unwrap_or_default();
    }
    coder.sockets.0.insert(id.to_owned(), thread);
    asked
}

/// Opens the socket of a thread.
async fn open(coder: &mut Coder, speaker: &Speaker<'_>) -> Option<Thread> {
    let headers = headers(speaker);
    let mut socket = coder.client.socket(PATH, &headers, &mut coder.rng).await?;
    let mut opening = request(
        speaker,
        &[],
        None,
        coder.options.upload_bytes,
        coder.rng.random(),
    );
    if let Some(members) = opening.as_object_mut() {
        members.insert("generate".to_owned(), false.into());
    }
    let events = coder.client.exchange_over(&mut socket, &opening).await?;
    let previous = text(events.last()?, "/response/id")?;
    Some(Thread {
        socket,
        previous,
        known: 0,
    })
}

fn headers(speaker: &Speaker<'_>) -> Vec<(&'static str, String)> {
    let thread = speaker.subagent.unwrap_or(speaker.session);
    let always = [
        ("user-agent", "codex_cli_rs/0.171.0 (Linux; x86_64)"),
        ("originator", "codex_cli_rs"),
        ("openai-beta", "responses_websockets=2026-02-06"),
        ("session-id", speaker.session),
        ("thread-id", thread),
    ];
    let all = always.into_iter().chain(parent(speaker));
    all.map(|(name, value)| (name, value.to_owned())).collect()
}

/// How a subagent says who has started it.
fn parent<'a>(speaker: &Speaker<'a>) -> impl Iterator<Item = (&'static str, &'a str)> {
    let names = [
        ("x-codex-parent-thread-id", speaker.session),
        ("x-openai-subagent", "collab_spawn"),
    ];
    names
        .into_iter()
        .filter(|_| speaker.subagent.is_some())
        .collect::<Vec<_>>()
        .into_iter()
}

/// A request with these items. `nonce` makes an attempt differ from the one before.
fn request(
    speaker: &Speaker<'_>,
    input: &[Value],
    previous: Option<&str>,
    filler: usize,
    nonce: u64,
) -> Value {
    let thread = speaker.subagent.unwrap_or(speaker.session);
    let mut metadata = json!({"session_id": speaker.session, "thread_id": thread, "turn_id": speaker.turn,
        "x-codex-window-id": format!("{thread}:0"), "nonce": format!("{nonce:016x}")});
    let mut request = json!({
        "type": "response.create", "model": MODEL, "stream": true, "store": false,
        "reasoning": {"effort": "medium"}, "instructions": "i".repeat(filler),
        "tools": [{"type": "function", "name": "shell"}], "input": input, "prompt_cache_key": speaker.session,
    });
    if let Some(members) = metadata.as_object_mut() {
        members.extend(parent(speaker).map(|(name, value)| (name.to_owned(), value.into())));
    }
    if let Some(members) = request.as_object_mut() {
        members.insert("client_metadata".to_owned(), metadata);
        members.extend(previous.map(|id| ("previous_response_id".to_owned(), id.into())));
    }
    request
}

/// Reads the events of an answer.
fn read(events: &[Value]) -> Asked {
    let is_refused = |event: &Value| {
        count(event, "/status") == Some(u64::from(StatusCode::TOO_MANY_REQUESTS.as_u16()))
    };
    if events.last().is_some_and(is_refused) {
        return Asked::Refused;
    }
    match reply(events) {
        Some(reply) => Asked::Reply(reply),
        None => Asked::Unreadable,
    }
}

/// `None` where the events do not come to an end.
fn reply(events: &[Value]) -> Option<Reply> {
    let mut reply = Reply {
        tokens: Tokens::default(),
        response: None,
        tool: None,
        content: Vec::new(),
    };
    let (last, before) = events.split_last()?;
    for event in before {
        if text(event, "/type")? == "response.output_item.done" {
            let item = event.get("item")?;
            let call = text(item, "/call_id").zip(text(item, "/name"));
            reply.tool = call.or(reply.tool.take());
            reply.content.push(item.clone());
        }
    }
    let usage = last.pointer("/response/usage")?;
    let cache_read = count(usage, "/input_tokens_details/cached_tokens")?;
    let thinking = count(usage, "/output_tokens_details/reasoning_tokens")?;
    reply.response = text(last, "/response/id");
    reply.tokens = Tokens {
        input: count(usage, "/input_tokens")?.checked_sub(cache_read)?,
        cache_read,
        output: count(usage, "/output_tokens")?.checked_sub(thinking)?,
        thinking,
        ..Tokens::default()
    };
    Some(reply)
}

pub(super) const MODEL: &str = "gpt-5.6-sol";
const PATH: &str = "/backend-api/codex/responses";
