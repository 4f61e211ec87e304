//! Differences of a conversation's state (`StreamCascadeReactiveUpdates`) in, the state as an
//! [`Update`] out.
//!
//! The state is a tree of fields by number that holds only what the house reads: fields that are
//! not listed are passed over, and of the texts of models only whether there is one is kept. No
//! I/O, no clock.

mod apply;
mod interest;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use crate::cascade::proto::reactive_component_pb::MessageDiff;
use crate::cascade::update::Update;

pub use apply::{MAX_DEPTH, MAX_LENGTH, MAX_NODES};

/// A conversation's state, as one stream tells it.
///
/// A stream's first difference is one to the empty state: every stream begins with a new `ReactiveState`.
#[derive(Debug)]
pub struct ReactiveState {
    root: tree::Node,
    /// How many nodes may still be added.
    room: usize,
    broken: Option<DiffError>,
}

/// Why a difference cannot be applied. What the state would have become is unknown, so it is given
/// up: only a new stream with a new [`ReactiveState`] goes on. Nothing of the difference is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// A difference without a content, or of a kind that this house does not know.
    #[error("a difference that says nothing")]
    Empty,
    /// A value for an element that the list does not have.
    #[error("a value beyond the end of its list")]
    Index,
    /// A difference of a message, list or map for something that is none, or the other way around.
    #[error("a difference for another kind of value")]
    Kind,
    /// Not as many values as indices.
    #[error("not as many values as indices")]
    Lengths,
    /// Messages nested deeper than [`MAX_DEPTH`].
    #[error("messages nested too deeply")]
    TooDeep,
    /// A list longer than [`MAX_LENGTH`], or more than [`MAX_NODES`] values in all.
    #[error("more values than any real conversation has")]
    TooLarge,
}

impl ReactiveState {
    /// The empty state, before the first difference of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            root: tree::Node::default(),
            room: MAX_NODES,
            broken: None,
        }
    }

    /// Applies the next difference of the stream.
    ///
    /// # Errors
    /// [`DiffError`] when it does not fit the state. The state is empty from then on, and every
    /// later call returns the same error: drop it, and begin another stream with a new one.
    pub fn apply(&mut self, diff: &MessageDiff) -> Result<(), DiffError> {
        let applied = match self.broken {
            Some(error) => Err(error),
            None => apply::message(
                &mut self.root,
                diff,
                &interest::CASCADE_STATE,
                &mut self.room,
            ),
        };
        if let Err(error) = applied {
            self.broken = Some(error);
            self.root = tree::Node::default();
        }
        applied
    }

    /// The whole state as it stands.
    ///
    /// Unlike the news of the agent-state stream, which holds only what has changed, this repeats
    /// every step, call and end of the conversation each time; `total_steps` is always said once
    /// there is a trajectory. Whether everything has ended is not part of this state: `fully_idle`
    /// is never set. `subtrajectories` holds the subagents whose trajectories stand inside of
    /// steps.
    #[must_use]
    pub fn update(&self) -> Update {
        snapshot::update(&self.root)
    }
}

impl Default for ReactiveState {
    fn default() -> Self {
        Self::new()
    }
}
