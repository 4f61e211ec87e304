//! The run of a conversation: how far it has come, and how one look at the conversation found it.

use std::time::Instant;

use super::clock::{Moment, RunStart};
use crate::cascade::update::Termination;
use crate::record::{RunOutcome, UpdateSource};

#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// None is under way.
    None,
    /// The user has written, and nothing has been seen to come of it.
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
    /// When the agent last said that it works; `None` when it was not seen to.
    pub(super) worked: Option<Instant>,
    /// The end that turned out to be none: the agent went on.
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
    /// It may have been as late as this: what the agent did of which no step tells.
    pub(super) latest: Instant,
    pub(super) outcome: RunOutcome,
    /// How many steps there were.
    pub(super) steps: u32,
}

/// One look at the conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    pub(super) source: UpdateSource,
    pub(super) says_fully_idle: bool,
    /// News may have been missed since the look before.
    pub(super) after_gap: bool,
    pub(super) before: Option<Moment>,
    pub(super) now: Moment,
}
