//! What is answered of what was seen.

mod awaited;
mod cascades;
mod file;
mod kit;
mod modalities;
mod poison;
mod query;
mod rules;
mod sessions;
mod sums;
mod usage;
