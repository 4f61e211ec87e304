//! Request bodies as the language server writes them: names, order and correlation ids.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

/// Who speaks: the ids that stay the same in all requests of a conversation.
pub(super) struct Speaker {
    pub(super) conversation: String,
    pub(super) trajectory: String,
    /// A signed 64-bit number as text.
    pub(super) session: String,
}

/// One generation asked for.
pub(super) struct Turn<'a> {
    pub(super) speaker: &'a Speaker,
    pub(super) model: &'a str,
    /// What was said so far, the user's last message at the end.
    pub(super) contents: &'a [Value],
    /// The system instruction.
    pub(super) system: &'a str,
    /// Number of the generation in its trajectory.
    pub(super) step: u32,
    /// Number of the request in its trajectory; a retry has a new one.
    pub(super) request: u32,
}

/// A reply of the agent to its user.
pub(super) fn agent(turn: &Turn<'_>) -> Bytes {
    let Speaker { conversation, trajectory, .. } = turn.speaker;
    let id = format!("agent/{conversation}/{}/{trajectory}/{}", epoch_ms(), turn.step);
    envelope(turn, id, "agent")
}

/// A title for the conversation, asked for behind the user's back.
pub(super) fn checkpoint(turn: &Turn<'_>) -> Bytes {
    envelope(turn, format!("checkpoint/{}", turn.speaker.trajectory), "checkpoint")
}

/// How many tokens the conversation has.
pub(super) fn count(turn: &Turn<'_>) -> Bytes {
    json(&json!({"request": {"model": format!("models/{}", turn.model), "contents": turn.contents}}))
}

/// The telemetry after a generation, which names its trace.
pub(super) fn metrics(speaker: &Speaker, trace_id: &str) -> Bytes {
    json(&json!({"project": PROJECT, "metrics": [{"conversationOffered": {
        "traceId": trace_id, "trajectoryId": speaker.trajectory, "status": "ACTION_STATUS_NO_ERROR", "isAgentic": true,
        "streamingLatency": {"firstMessageLatency": "0.195s", "totalLatency": "1.2s"}}}]}))
}

/// The question that opens a session.
pub(super) fn hello() -> Bytes {
    json(&json!({"project": PROJECT, "metadata": {"ideType": "ANTIGRAVITY"}}))
}

fn envelope(turn: &Turn<'_>, request_id: String, request_type: &'static str) -> Bytes {
    let Speaker { trajectory, session, .. } = turn.speaker;
    let claude = turn.model.starts_with("claude").to_string();
    let request = Request {
        contents: turn.contents,
        system_instruction: json!({"role": "user", "parts": [{"text": turn.system}]}),
        generation_config: json!({"temperature": 0.4, "maxOutputTokens": 16384}),
        session_id: session,
        labels: json!({
            "trajectory_id": trajectory, "request_id": format!("{trajectory}-{}", turn.request),
            "last_step_index": turn.step.to_string(), "model_enum": "MODEL_PLACEHOLDER_M132",
            "used_claude": claude, "used_claude_conservative": claude,
            "used_non_gemini_model": (!turn.model.starts_with("gemini")).to_string(),
        }),
    };
    json(&Envelope {
        project: PROJECT,
        request_id,
        request,
        model: turn.model,
        user_agent: "antigravity",
        request_type,
        enabled_credit_types: [],
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    project: &'a str,
    request_id: String,
    /// Before `model`, so that a reader cannot stop at the start of a large body.
    request: Request<'a>,
    model: &'a str,
    user_agent: &'a str,
    request_type: &'a str,
    enabled_credit_types: [&'a str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    contents: &'a [Value],
    system_instruction: Value,
    generation_config: Value,
    session_id: &'a str,
    labels: Value,
}

fn json(document: &impl Serialize) -> Bytes {
    // Strings, numbers and string keys only: serialisation has nothing to fail at.
    serde_json::to_vec(document).unwrap_or_default().into()
}

fn epoch_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// What accounts of consumers get.
const PROJECT: &str = "aicode-consumers";
