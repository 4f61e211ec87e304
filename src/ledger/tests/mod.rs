//! What is answered of what was seen.

mod cascades;
mod file;
mod kit;
mod sums;
mod usage;
