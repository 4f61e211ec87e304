//! The SQLite file: its tables, the thread that writes to it, and the queries.
//!
//! Rank 1 inside the ledger: what is read becomes sums and records of [`super::memory`].

pub(super) mod awaited;
pub(super) mod begin;
pub(super) mod callers;
mod columns;
pub(super) mod disk;
pub(super) mod grouping;
pub(super) mod heal;
mod modalities;
pub(super) mod open;
mod pauses;
pub(super) mod query;
pub(super) mod queue;
pub(super) mod refill;
pub(super) mod restore;
pub(super) mod retention;
mod rollups;
pub(super) mod rows;
pub(super) mod rules;
mod saturate;
pub(super) mod schema;
mod schema_v6;
mod schema_v7;
pub(super) mod sessions;
mod set_aside;
mod share;
pub(super) mod source;
pub(super) mod span;
pub(super) mod spent;
pub(super) mod subagents;
mod substitutions;
pub(super) mod writer;
