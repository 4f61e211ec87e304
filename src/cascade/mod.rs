//! The language server's own word on its conversations (cascades): which calls belong together, and when a run is over.
//!
//! What enters: the agent's local RPC, and every fact on its way to the views. What leaves: the same facts, each call with
//! its conversation, and facts about runs, steps, quotas. It never touches the agent's traffic, asks only what changes
//! nothing, trusts the agent's certificate on its own loopback port only, and keeps no prompt and no completion.

pub mod compare;
pub mod conversation;
pub mod correlate;
pub mod proto;
pub mod reactive;
pub mod read;
mod runs;
mod state;
#[cfg(test)]
mod telling;
pub mod threads;
pub mod update;
