//! What is answered: the shapes of `/v1/usage`, `/v1/cascades` and `/v1/sessions`, as JSON and as CSV, in pages.
//!
//! Rank 2 inside the ledger: answers are made of what [`super::memory`] and [`super::file`] hold.

pub(super) mod archive;
pub(super) mod callers;
pub(super) mod calls;
pub(super) mod cascades;
pub(super) mod groups;
pub(super) mod page;
pub(super) mod query;
pub(super) mod report;
pub(super) mod rules;
pub(super) mod sessions;
mod sheet;
pub(super) mod usage;
