//! The figures of one run of a program: facts enter, a report for people and for machines leaves.
//!
//! It counts for itself, from the same facts as the ledger and the metrics, because those count what
//! earlier runs have spent as well. Everything that is kept by name is bounded; what is beyond the
//! bound is counted together.

mod collector;
mod report;
mod text;
mod working_time;

pub use collector::Collector;
pub use report::{Circumstances, ModelFigures, Recorded, Report, Unseen, Untrusted};
pub use text::render;
