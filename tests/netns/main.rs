//! What needs root: real iptables, real users, real sudo, each test on a stage of its own ([`stage`]).
//!
//! Nothing of the machine is touched. Where stages cannot be built, tests say `SKIPPED (privileged)` on standard error,
//! and fail when `GRAVIMETER_REQUIRE_PRIVILEGED=1`.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod child;
mod life;
mod role;
mod rules;
mod stage;
mod whole;
