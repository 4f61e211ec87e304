//! Request bodies as the language server writes them: names, order and correlation ids.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::demo::models::card;

/// The ids that stay the same in all requests of a conversation.
pub(super) struct Speaker {
    /// The conversation, which `requestId` names ...
    pub(super) cascade: String,
    /// ... or not: every second one has the id of an agent in that place.
    pub(super) agent: String,
    pub(super) session: Session,
}

/// How the requests of a conversation name their session: as a signed 64-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// All requests use the same session: versions before 1.3.
    Kept(i64),
    /// Each request uses another one, which therefore identifies nothing: agy 1.3.3.
    Random,
}

/// How much a request says about where it belongs. All of these were seen except the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Two UUIDs in `requestId`, and labels.
    Full,
    /// One UUID in `requestId`, no labels: versions before 1.20.
    Old,
    /// Two UUIDs in `requestId`, no labels.
    Unlabelled,
    /// Nothing but the session.
    Session,
    /// Nothing at all.
    Nothing,
}

/// The parameters of one generation.
pub(super) struct Turn<'a> {
    pub(super) speaker: &'a Speaker,
    pub(super) trajectory: &'a str,
    pub(super) model: &'a str,
    /// What was said so far, the user's last message at the end.
    pub(super) contents: &'a [Value],
    /// The system instruction.
    pub(super) system: &'a str,
    /// The execution that was over when this one began.
    pub(super) last_execution: &'a str,
    /// Number of the generation in its trajectory.
    pub(super) step: u32,
    /// Number of the request in its trajectory; a retry has a new one.
    pub(super) request: u32,
    /// Replaces missing labels as the seed of the stand-in provider's choices.
    pub(super) seed: u32,
    /// The number of the session.
    pub(super) session: i64,
    /// The UUID in the id of a checkpoint. What it names is not known, so it names nothing here.
    pub(super) checkpoint: &'a str,
    pub(super) naming: Naming,
}

/// A request's body with the ids in it.
pub(super) struct Prompt {
    pub(super) id: String,
    /// The session, which the answer's header repeats.
    pub(super) session: i64,
    pub(super) body: Bytes,
}

impl Naming {
    /// Whether the request itself cannot be joined to its trajectory.
    pub(super) fn is_hidden(self) -> bool {
        matches!(self, Self::Session | Self::Nothing)
    }
}

/// A reply of the agent to its user.
pub(super) fn agent(turn: &Turn<'_>) -> Prompt {
    let Turn {
        speaker,
        trajectory,
        step,
        ..
    } = turn;
    let id = match turn.naming {
        Naming::Full | Naming::Unlabelled => {
            format!("agent/{}/{}/{trajectory}/{step}", speaker.agent, epoch_ms())
        }
        Naming::Old => format!("agent/{}/{trajectory}/{step}", epoch_ms()),
        Naming::Session | Naming::Nothing => format!("batch-{:08x}", turn.seed),
    };
    envelope(turn, id, "agent")
}

/// A request for a title of the conversation, invisible to the user.
pub(super) fn checkpoint(turn: &Turn<'_>) -> Prompt {
    envelope(
        turn,
        format!("checkpoint/{}", turn.checkpoint),
        "checkpoint",
    )
}

/// How many tokens the conversation has.
pub(super) fn count(model: &str, contents: &[Value]) -> Bytes {
    json(&json!({"request": {"model": format!("models/{model}"), "contents": contents}}))
}

/// The telemetry after a generation, which names its trace.
pub(super) fn metrics(trajectory: &str, trace_id: &str, status: &str) -> Bytes {
    json(
        &json!({"project": PROJECT, "metrics": [{"conversationOffered": {
        "traceId": trace_id, "trajectoryId": trajectory, "status": status, "isAgentic": true,
        "streamingLatency": {"firstMessageLatency": "0.195s", "totalLatency": "1.2s"}}}]}),
    )
}

/// The telemetry that names a conversation, its trajectory, and what happened in it, word for word.
pub(super) fn analytics(
    cascade: &str,
    trajectory: &str,
    calls: Vec<Value>,
    steps: Vec<Value>,
) -> Bytes {
    json(&json!({"project": PROJECT, "trajectory": {
        "cascadeId": cascade, "trajectoryId": trajectory, "generatorMetadata": calls, "steps": steps}}))
}

/// The request that opens a session.
pub(super) fn hello() -> Bytes {
    json(&json!({"project": PROJECT, "metadata": {"ideType": "ANTIGRAVITY"}}))
}

fn envelope(turn: &Turn<'_>, id: String, request_type: &'static str) -> Prompt {
    let labelled = turn.naming == Naming::Full;
    let generation = json!({"temperature": 0.4, "maxOutputTokens": 16384});
    let seeded = json!({"temperature": 0.4, "maxOutputTokens": 16384, "seed": turn.seed});
    let request = Request {
        contents: turn.contents,
        system_instruction: json!({"role": "user", "parts": [{"text": turn.system}]}),
        generation_config: if labelled { generation } else { seeded },
        session_id: (turn.naming != Naming::Nothing).then(|| turn.session.to_string()),
        labels: labelled.then(|| labels(turn)),
    };
    let body = json(&Envelope {
        project: PROJECT,
        request_id: &id,
        request,
        model: turn.model,
        user_agent: "antigravity",
        request_type,
        enabled_credit_types: [],
    });
    Prompt {
        id,
        session: turn.session,
        body,
    }
}

fn labels(turn: &Turn<'_>) -> Value {
    let claude = turn.model.starts_with("claude").to_string();
    json!({
        "trajectory_id": turn.trajectory, "request_id": format!("{}-{}", turn.trajectory, turn.request),
        "last_step_index": turn.step.to_string(), "last_execution_id": turn.last_execution,
        "model_enum": card(turn.model).name, "used_claude": claude, "used_claude_conservative": claude,
        "used_non_gemini_model": (!turn.model.starts_with("gemini")).to_string(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    project: &'a str,
    request_id: &'a str,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Value>,
}

fn json(document: &impl Serialize) -> Bytes {
    // Strings, numbers and string keys only: serialisation has nothing to fail at.
    serde_json::to_vec(document).unwrap_or_default().into()
}

fn epoch_ms() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

/// The project of consumer accounts.
const PROJECT: &str = "aicode-consumers";
