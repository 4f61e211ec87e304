//! What agents report on their conversations (cascades): which calls belong together, and when a
//! run is over. Antigravity's language server reports it, other agents say it in their calls.
//!
//! Input: the agent's local RPC, and every fact on its way to the views. Output: the same facts,
//! each call with its conversation, and facts about runs, steps and quotas. This room never touches
//! the agent's traffic, calls only RPC methods that change nothing, trusts the agent's certificate
//! on its own loopback port only, and keeps no prompt and no completion.

pub mod client;
pub mod compare;
pub mod conversation;
pub mod correlate;
mod emit;
pub mod follow;
#[doc(hidden)]
pub mod fuzz;
pub mod index;
pub mod proto;
pub mod reactive;
pub mod read;
mod runs;
mod spans;
mod state;
#[cfg(test)]
mod test_updates;
mod turns;
pub mod update;
mod waiting;

use client::Endpoint;

/// Whether and how agents are followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Whether agents are followed at all.
    pub mode: Mode,
    /// An agent that Gravimeter does not start.
    pub endpoint: Option<Endpoint>,
    /// The token for an agent that does not announce its own.
    pub token: Option<client::Token>,
    /// Whether to look for a language server that Gravimeter did not start.
    pub attach: bool,
    /// How an agent is followed.
    pub follow: follow::Config,
}

/// Whether agents are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// The agent that Gravimeter starts, that is configured, or that is found.
    #[default]
    Auto,
    /// No agent is followed: calls are grouped by what their requests say.
    Off,
}
