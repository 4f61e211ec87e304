//! One binary, a module for each promise; everything runs on real sockets, without root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no readers from outside"
)]

mod access;
mod agreement;
mod budgets;
mod cascades;
mod cli;
mod coding_agents;
mod dashboards;
mod deploy;
mod end_of_stream;
mod env;
mod faults;
mod fixtures;
mod fleet;
mod follow_faults;
mod forward;
mod fuzz;
mod go;
mod kit;
mod leaving;
mod ledger;
mod loops;
mod malformed;
mod memory;
mod native_histograms;
mod no_retry;
mod page;
mod process;
mod push;
mod reconcile;
mod rules;
mod run;
mod secrets;
mod shutdown;
#[path = "../skip.rs"]
mod skip;
mod skips;
mod soak;
mod sockets;
mod statusline;
mod stolen_key;
mod structure;
mod timeouts;
mod top;
mod traces;
mod transparency;
mod trust;
mod unread;
mod usage;
mod whole;
#[path = "../wire.rs"]
mod wire;
