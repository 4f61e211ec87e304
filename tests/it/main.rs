//! One binary, a module for each promise; everything runs on real sockets, without root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no readers from outside")]

mod agreement;
mod cascades;
mod cli;
mod end_of_stream;
mod faults;
mod fixtures;
mod follow_faults;
mod fuzz;
mod go;
mod house;
mod kit;
mod loops;
mod malformed;
mod memory;
mod no_retry;
mod process;
mod push;
mod secrets;
mod shutdown;
mod soak;
mod timeouts;
mod traces;
mod transparency;
mod trust;
mod whole;
