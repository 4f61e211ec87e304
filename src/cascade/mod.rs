//! The language server's own word on its conversations (cascades): which calls belong together, and
//! when a run is over.
//!
//! What enters: the agent's local RPC, and every fact on its way to the views. What leaves: the
//! same facts, each call with its conversation, and facts about runs, steps, quotas. It never
//! touches the agent's traffic, asks only what changes nothing, trusts the agent's certificate on
//! its own loopback port only, and keeps no prompt and no completion.

pub mod client;
pub mod compare;
pub mod conversation;
pub mod correlate;
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
pub mod update;

use client::Endpoint;

/// Which agent is followed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Whether any agent is.
    pub mode: Mode,
    /// An agent that the house does not start.
    pub endpoint: Option<Endpoint>,
    /// What an agent wants to be shown that does not announce it.
    pub token: Option<client::Token>,
    /// Whether a language server that somebody else has started is looked for.
    pub attach: bool,
    /// How.
    pub follow: follow::Config,
}

/// Whether agents are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// The one that the house starts, that is configured, or that is found.
    #[default]
    Auto,
    /// None is: calls are joined by what the wire tells.
    Off,
}
