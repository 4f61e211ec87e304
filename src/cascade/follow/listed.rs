//! The parts of the agent's list of conversations that show that something has happened.

use std::time::SystemTime;

use crate::cascade::read::Summary;
use crate::cascade::update::RunStatus;

/// A conversation that has, or may have, changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangedConversation<'a> {
    pub(super) summary: &'a Summary,
    /// The agent, or a subagent, is working on it.
    pub(super) is_worked_on: bool,
}

/// The parts of a list entry that change when something happens in the conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listed {
    status: Option<RunStatus>,
    step_count: Option<u32>,
    last_modified: Option<SystemTime>,
}

impl Listed {
    pub(super) fn of(summary: &Summary) -> Self {
        let Summary {
            status,
            step_count,
            last_modified,
            ..
        } = summary;
        Self {
            status: *status,
            step_count: *step_count,
            last_modified: *last_modified,
        }
    }
}
