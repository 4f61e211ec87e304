//! Stand-ins for both ends of the traffic: an LLM provider, and an agent that speaks like
//! Antigravity's language server.
//!
//! Input: addresses and a seed. Output: HTTP on sockets, and a [`Tally`] on each side, so that
//! whatever stands between the two can be checked against the truth. Never uses another room: it
//! talks to Gravimeter through sockets only, as any client would. Nothing here is fit to serve or
//! to guard real traffic.

mod digest;
mod models;
mod pieces;
mod pki;
mod server;
mod tally;
mod usage;
mod websocket;

pub mod agent;
pub mod provider;

pub use agent::{AgentKind, AgentOptions, AppOptions, OfferedStreams, Outcome, Protocol, StandIn};
pub use provider::{Provider, ProviderOptions};
pub use tally::{ModelTally, Tally, Tokens};

/// Models of the stand-in agent's conversations, as they are named on the wire.
pub const MODELS: [&str; 4] = [
    "gemini-3.1-pro-low",
    "gemini-3.8-flash-high",
    "claude-opus-4-6-thinking",
    "gpt-oss-120b-medium",
];

/// The lighter model that is asked for a title after each reply, behind the user's back.
pub const CHECKPOINT_MODEL: &str = "gemini-2.5-flash-lite";

/// The host that Claude Code calls.
pub const ANTHROPIC_HOST: &str = "api.anthropic.com";

/// The host that Codex calls for those who log in with ChatGPT.
pub const CHATGPT_HOST: &str = "chatgpt.com";

/// The host that the language server calls by default.
pub const CLOUD_CODE_HOST: &str = "daily-cloudcode-pa.googleapis.com";
