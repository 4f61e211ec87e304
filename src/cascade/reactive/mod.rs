//! Applies differences of a conversation's state (`StreamCascadeReactiveUpdates`) and yields the
//! state as an [`Update`].
//!
//! The state is a tree of fields by number that holds only what Gravimeter reads: fields that are
//! not listed are skipped, and of the texts of models only whether there is one is kept. No I/O, no
//! clock.

mod apply;
mod interest;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use crate::cascade::proto::reactive_component_pb::MessageDiff;
use crate::cascade::update::Update;

pub use apply::{MAX_DEPTH, MAX_LENGTH, MAX_NODES};

/// A conversation's state, as built from one stream.
///
/// A stream's first difference applies to the empty state: every stream begins with a new
/// `ReactiveState`.
#[derive(Debug)]
pub struct ReactiveState {
    root: tree::Node,
    /// How many nodes may still be added, in the whole tree.
    room: usize,
    broken: Option<DiffError>,
}

/// Why a difference cannot be applied. What the state would have become is unknown, so it is given
/// up: only a new stream with a new [`ReactiveState`] continues. Nothing of the difference's
/// content is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// A difference without content, or of a kind that Gravimeter does not know.
    #[error("a difference without content")]
    Empty,
    /// A value for an element that the list does not have.
    #[error("a value beyond the end of its list")]
    Index,
    /// A difference of a message, list or map for a value of another kind, or the other way around.
    #[error("a difference for a value of another kind")]
    Kind,
    /// The numbers of values and indices differ.
    #[error("the numbers of values and indices differ")]
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

    /// The whole current state.
    ///
    /// Unlike the updates of the agent-state stream, which hold only what has changed, this repeats
    /// every step, call and executor end of the conversation each time; `total_steps` is always set
    /// once there is a trajectory. Whether everything has ended is not part of this state:
    /// `fully_idle` is never set. `subtrajectories` holds the subagents whose trajectories stand
    /// inside of steps.
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
