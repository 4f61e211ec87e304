//! What is answered of what was seen.

mod cascades;
mod file;
mod kit;
mod query;
mod sums;
mod usage;
