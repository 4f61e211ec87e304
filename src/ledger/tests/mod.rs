//! What is answered of what was seen.

mod cascades;
mod kit;
mod sums;
mod usage;
