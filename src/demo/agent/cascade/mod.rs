//! The state of the stand-in language server's conversations (cascades), and its own log of what
//! happened in them.
//!
//! Input: changes, each at one moment of the clock. Output: snapshots in order, none left out, as
//! JSON or as they are; and the [`Log`], the ground truth of runs and calls. It never opens a
//! socket.

mod entries;
mod json;
mod log;
mod names;
mod state;
mod store;
mod viewers;

pub use log::{CallEnd, CallEntry, Log, RunEnd, RunEntry};

pub(super) use entries::{Generation, Stats, Step};
pub(super) use json::{Document, documents, without_defaults};
pub(super) use names::{RunStatus, StepKind, StepStatus, Termination};
pub(super) use state::{Cascade, Subagent, Trajectory};
pub(super) use store::{Snapshots, Store, StoredConversation};
