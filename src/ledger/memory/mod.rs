//! What is kept in memory: sums of everything, the newest conversations and calls, names of models
//! and quotas.
//!
//! Rank 0 inside the ledger: no other part is used.

pub(super) mod call;
pub(super) mod conversation;
pub(super) mod figures;
pub(super) mod models;
pub(super) mod store;
pub(super) mod substitutions;
pub(super) mod sums;
pub(super) mod thread;
pub(super) mod time;
pub(super) mod whole;
