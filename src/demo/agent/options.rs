//! What the stand-in language server does, and how often.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::AgentKind;
use crate::demo::{CLOUD_CODE_HOST, MODELS};

/// What the agent calls, how, and how often. Percentages are chances out of 100.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentOptions {
    /// The agents that are at work. Each coding agent has a few users; those of the language server
    /// are `conversations`.
    pub agents: Vec<AgentKind>,
    /// The PEM file with the only roots it trusts: what `SSL_CERT_FILE` names in its environment.
    pub bundle: PathBuf,
    /// The provider's name: SNI, `Host`, and what is resolved unless `dial` says otherwise.
    pub host: String,
    /// The provider's port.
    pub port: u16,
    /// Connect here instead of resolving `host`.
    pub dial: Option<SocketAddr>,
    /// Go through this HTTP proxy with CONNECT.
    pub proxy: Option<SocketAddr>,
    /// The HTTP versions offered.
    pub protocol: Protocol,
    /// Users who talk at the same time, each in one conversation after the other.
    pub conversations: u32,
    /// Messages of each user; without a number they go on until SIGTERM.
    pub rounds: Option<u32>,
    /// Whether it goes on answering at its own ports when the rounds are done, until SIGTERM, as the
    /// real one does.
    pub stays: bool,
    /// Messages in one conversation before its user begins a new one.
    pub cascade_rounds: u32,
    /// Milliseconds between two messages of a user.
    pub pause_ms: u64,
    /// Most milliseconds that a message waits for a client that will see its run: one with an open
    /// stream that stays across runs, or one that has asked the RPC server for the conversation
    /// since the last run (before the first run by its id, later the list of all is enough). A
    /// conversation that has waited in vain once does not wait again.
    pub patience_ms: u64,
    /// Most milliseconds that a tool of a coding agent takes.
    pub tool_ms: u64,
    /// Milliseconds before the first retry of a refused call; each further one waits longer by as
    /// much.
    pub backoff_ms: u64,
    /// Bytes of system instruction in each request.
    pub upload_bytes: usize,
    /// Messages whose first answer the user stops in the middle.
    pub abort_percent: u8,
    /// Messages of which every attempt is refused.
    pub error_percent: u8,
    /// Messages that are lost: running, and idle at once.
    pub swallow_percent: u8,
    /// Replies that need tools first, and with them one or two further calls.
    pub tool_percent: u8,
    /// Replies that need a subagent, which makes one or two calls in a trajectory of its own.
    pub subagent_percent: u8,
    /// Replies after which the conversation is uploaded by `recordTrajectoryAnalytics`.
    pub analytics_percent: u8,
    /// Calls that only `recordCodeAssistMetrics` connects to their trajectory; half of them still
    /// name their session.
    pub hidden_percent: u8,
    /// Calls whose `requestId` has the older form with one UUID, without labels.
    pub old_form_percent: u8,
    /// Calls without labels.
    pub unlabelled_percent: u8,
    /// Conversations in which every request names another session, as agy 1.3.3 does, so that no
    /// session names any of them.
    pub random_session_percent: u8,
    /// Models, one for each user in turn.
    pub models: Vec<String>,
    /// What clients of the RPC server must send in `x-codeium-csrf-token`; empty for nothing.
    /// Guards stand-in data only.
    pub csrf_token: String,
    /// The streams that the RPC server offers at the start.
    pub offered_streams: OfferedStreams,
    /// Seed of everything random except time stamps.
    pub seed: u64,
}

/// The streams that the RPC server offers, best first. A missing one is answered as by a language
/// server that lacks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferedStreams {
    /// `StreamAgentStateUpdates`; else unimplemented.
    pub agent_state: bool,
    /// `StreamCascadeReactiveUpdates`; else "reactive state is disabled".
    pub reactive: bool,
}

/// The HTTP versions that an agent offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// No ALPN at all, which means HTTP/1.1: what the language server was seen to do.
    Http1,
    /// ALPN `h2` before `http/1.1`.
    Http2,
    /// Every second conversation offers HTTP/2.
    #[default]
    Mixed,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            agents: vec![AgentKind::Antigravity],
            bundle: PathBuf::new(),
            host: CLOUD_CODE_HOST.to_owned(),
            port: 443,
            dial: None,
            proxy: None,
            protocol: Protocol::default(),
            conversations: 4,
            rounds: Some(5),
            stays: false,
            cascade_rounds: 50,
            pause_ms: 0,
            patience_ms: 0,
            tool_ms: 0,
            backoff_ms: 50,
            upload_bytes: 16 << 10,
            abort_percent: 10,
            error_percent: 2,
            swallow_percent: 3,
            tool_percent: 40,
            subagent_percent: 15,
            analytics_percent: 15,
            hidden_percent: 6,
            old_form_percent: 10,
            unlabelled_percent: 10,
            random_session_percent: 50,
            models: MODELS.map(str::to_owned).to_vec(),
            csrf_token: String::new(),
            offered_streams: OfferedStreams::default(),
            seed: 0,
        }
    }
}

impl Default for OfferedStreams {
    fn default() -> Self {
        Self {
            agent_state: true,
            reactive: true,
        }
    }
}
