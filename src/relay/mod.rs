//! The traffic itself: one connection from accepted to its end, byte for byte.

pub mod pass;
pub mod route;
pub mod timeouts;
pub mod tunnel;
