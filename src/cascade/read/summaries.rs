//! The reply of `GetAllCascadeTrajectories`: a summary of every conversation that the agent
//! remembers.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::table::{at, paths};
use super::values::{id, named, time, whole_number};
use super::{Malformed, Message};
use crate::cascade::update::RunStatus;
use crate::observe::json::{Paths, Value};
use crate::record::Id;

/// Most conversations of one reply. A heavy user has some thousand.
pub const MAX_SUMMARIES: usize = 16_384;

/// The summary of one conversation. Its title is not read: a model wrote it from the user's words.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The conversation.
    pub cascade: Id,
    /// Its main trajectory.
    pub trajectory: Option<Id>,
    /// Whether the agent works on it.
    pub status: Option<RunStatus>,
    /// How many steps it has.
    pub step_count: Option<u32>,
    /// When it last changed, by the agent's clock.
    pub last_modified: Option<SystemTime>,
    /// When its user last wrote, by the agent's clock.
    pub last_user_input: Option<SystemTime>,
    /// The conversation that this one works for, if this is a subagent's.
    pub root: Option<Id>,
    /// The agent says that subagents are working. Absent and `false` look alike on the wire.
    pub has_active_children: bool,
    /// The agent says that something is still working. Absent and `false` look alike on the wire.
    pub not_fully_idle: bool,
}

/// Reads `{"trajectorySummaries": {"<conversation>": {…}}}` into a summary for each.
#[derive(Debug, Default)]
pub struct Summaries {
    read: Vec<Summary>,
    current: Option<Summary>,
}

/// The fields that are read.
#[derive(Debug, Clone, Copy)]
pub enum SummaryField {
    ActiveChildren,
    LastModified,
    LastUserInput,
    NotFullyIdle,
    Root,
    Status,
    StepCount,
    Summary,
    Trajectory,
}

impl Message for Summaries {
    type Field = SummaryField;
    type Content = Vec<Summary>;

    fn paths() -> &'static Paths<SummaryField> {
        &PATHS
    }

    fn read_value(&mut self, field: SummaryField, value: Value<'_>) -> Result<(), Malformed> {
        match (field, value, &mut self.current) {
            (SummaryField::Summary, Value::Key(key), current) => {
                *current = Id::from_wire(key).map(Summary::new)
            }
            (SummaryField::Summary, Value::End, current) => {
                self.read.extend(current.take());
                if self.read.len() > MAX_SUMMARIES {
                    return Err(Malformed::TooMany);
                }
            }
            (_, _, Some(summary)) => summary.read_value(field, value),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Summary>, Malformed> {
        Ok(self.read)
    }
}

impl Summary {
    fn new(cascade: Id) -> Self {
        Self {
            cascade,
            trajectory: None,
            status: None,
            step_count: None,
            last_modified: None,
            last_user_input: None,
            root: None,
            has_active_children: false,
            not_fully_idle: false,
        }
    }

    /// Whether the agent or a subagent works on it, by any field of the summary.
    #[must_use]
    pub fn is_worked_on(&self) -> bool {
        self.works() || self.has_active_children || self.not_fully_idle
    }

    /// Whether the agent itself is idle and subagents work.
    #[must_use]
    pub fn is_at_rest_with_subagents(&self) -> bool {
        !self.works() && self.is_worked_on()
    }

    fn works(&self) -> bool {
        matches!(
            self.status,
            Some(RunStatus::Busy | RunStatus::Canceling | RunStatus::Running)
        )
    }

    fn read_value(&mut self, field: SummaryField, value: Value<'_>) {
        match field {
            SummaryField::ActiveChildren => self.has_active_children = value == Value::Bool(true),
            SummaryField::LastModified => self.last_modified = time(value),
            SummaryField::LastUserInput => self.last_user_input = time(value),
            SummaryField::NotFullyIdle => self.not_fully_idle = value == Value::Bool(true),
            // A conversation that works for no other is its own root.
            SummaryField::Root => self.root = id(value).filter(|root| *root != self.cascade),
            SummaryField::Status => self.status = named(value),
            SummaryField::StepCount => {
                self.step_count = whole_number(value).and_then(|count| count.try_into().ok())
            }
            SummaryField::Summary => {}
            SummaryField::Trajectory => self.trajectory = id(value),
        }
    }
}

static PATHS: LazyLock<Paths<SummaryField>> =
    LazyLock::new(|| paths(at("trajectorySummaries.*", &FIELDS, |field| field)));

const FIELDS: [(&str, SummaryField); 9] = [
    ("", SummaryField::Summary),
    (".hasActiveChildren", SummaryField::ActiveChildren),
    (".lastModifiedTime", SummaryField::LastModified),
    (".lastUserInputTime", SummaryField::LastUserInput),
    (".notFullyIdle", SummaryField::NotFullyIdle),
    (".status", SummaryField::Status),
    (".stepCount", SummaryField::StepCount),
    (".trajectoryId", SummaryField::Trajectory),
    (".trajectoryMetadata.rootConversationId", SummaryField::Root),
];
