//! The state of a conversation's run, and one observation of the conversation.

use std::time::Instant;

use super::clock::{Moment, RunStart};
use crate::cascade::update::Termination;
use crate::record::{RunOutcome, UpdateSource};

#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// No run is under way.
    None,
    /// The user has written, and the agent has not been seen to react.
    Awaited { began: RunStart, since: Moment },
    /// The agent works.
    Open(OpenRun),
    /// The agent is idle; unless it goes on soon, this was the end.
    Closing {
        run: OpenRun,
        end: End,
        idle: Idle,
        deadline: Instant,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct OpenRun {
    pub(super) began: RunStart,
    /// The first step that belongs to it.
    pub(super) first_step: u32,
    /// When the agent last reported that it works; `None` when it was never seen working.
    pub(super) worked: Option<Instant>,
    /// An end that a later update revoked: the agent went on.
    pub(super) paused: Option<End>,
    pub(super) was_canceled: bool,
    pub(super) has_failed: bool,
    pub(super) has_generated: bool,
    pub(super) termination: Option<Termination>,
}

/// The moment at which the agent was found idle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idle {
    pub(super) at: Instant,
    /// A stream showed the change itself. Otherwise it may have come at any time before.
    pub(super) is_seen: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: Instant,
    /// The latest possible end, because of activity that no step shows.
    pub(super) latest: Instant,
    pub(super) outcome: RunOutcome,
    /// The number of steps at the end.
    pub(super) steps: u32,
}

/// One observation of the conversation: an update with its circumstances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    pub(super) source: UpdateSource,
    pub(super) says_fully_idle: bool,
    /// Updates may have been missed since the previous observation.
    pub(super) after_gap: bool,
    pub(super) before: Option<Moment>,
    pub(super) now: Moment,
}
