//! What one message of the language server says about one conversation, whichever way it came.
//!
//! Every way of following (agent-state stream, reactive stream, polling) is read into these types;
//! what follows does not know which way it was. Nothing here holds text written by a person or a
//! model.

use std::time::SystemTime;

use crate::record::{Id, Model, StepKind, StepStatus};

/// An update of one conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// The conversation, when the message names it.
    pub cascade: Option<Id>,
    /// The conversation that this one works for, if this is a subagent's.
    pub root: Option<Id>,
    /// The main trajectory.
    pub trajectory: Option<Id>,
    /// Whether the agent works on it.
    pub status: Option<RunStatus>,
    /// The agent says that everything has ended, subagents included. Absent and `false` look alike
    /// on the wire.
    pub fully_idle: bool,
    /// The agent says that subagents are working. Absent and `false` look alike on the wire.
    pub has_active_children: bool,
    /// Updates may have been missed before this message, as between two polls or two streams. Set
    /// by the follower, not by the agent.
    pub after_gap: bool,
    /// Changes of the main trajectory.
    pub main: TrajectoryUpdate,
    /// Changes of subagents' trajectories, by their ids.
    pub subtrajectories: Vec<(Id, TrajectoryUpdate)>,
}

/// Changes of one trajectory. An entry replaces the one at its index; what is not mentioned stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrajectoryUpdate {
    /// Whether the agent works on it.
    pub status: Option<RunStatus>,
    /// Steps by index.
    pub steps: Vec<(u32, Step)>,
    /// How many steps there are; what lies beyond is gone.
    pub total_steps: Option<u32>,
    /// Calls to models by index: one entry for each.
    pub generations: Vec<(u32, Generation)>,
    /// Why executors ended, by index; an entry appears when the executor's whole chain has ended.
    pub terminations: Vec<(u32, Termination)>,
}

/// Most steps, calls or executor ends of one trajectory, and most entries of one message; no index
/// is larger. The longest conversation seen has 2,302 steps in 44 MB. As each takes some 100 bytes,
/// a full trajectory takes 3 MB.
pub const MAX_ENTRIES: u32 = 32_768;

/// `exa.cortex_pb.CascadeRunStatus`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// `BUSY`: some clients read it as running, others as waiting for the user; neither means over.
    Busy,
    /// `CANCELING`
    Canceling,
    /// `ERROR`, seen in the wild.
    Error,
    /// `IDLE`, and `INACTIVE` and `UNLOADED`, seen in the wild.
    Idle,
    /// `RUNNING`, `WAITING`, and unknown values: only a status known to mean the end counts as the
    /// end.
    Running,
}

/// `exa.cortex_pb.ExecutorTerminationReason`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Termination {
    /// `USER_CANCELED`
    Canceled,
    /// `ERROR`
    Error,
    /// Every other reason is a normal end.
    Finished,
}

/// One step, without its content.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it is.
    pub kind: StepKind,
    /// Its status.
    pub status: StepStatus,
    /// When it began, by the agent's clock.
    pub created_at: Option<SystemTime>,
    /// When it ended, by the agent's clock.
    pub completed_at: Option<SystemTime>,
    /// Whether it holds visible text of the model (`plannerResponse.response` is not empty).
    pub has_text: bool,
}

impl Step {
    /// Whether a subagent is working in this step. It may do so in the background while the agent
    /// itself is idle.
    #[must_use]
    pub fn is_subagent_at_work(&self) -> bool {
        use StepStatus::{Generating, Pending, Queued, Running, Waiting};
        self.is_subagent()
            && matches!(
                self.status,
                Generating | Pending | Queued | Running | Waiting
            )
    }

    /// Whether a subagent does the work of this step.
    #[must_use]
    pub fn is_subagent(&self) -> bool {
        matches!(
            self.kind,
            StepKind::BrowserSubagent | StepKind::InvokeSubagent
        )
    }
}

impl Default for Step {
    /// A step about which nothing is known.
    fn default() -> Self {
        Self {
            kind: StepKind::Other,
            status: StepStatus::Other,
            created_at: None,
            completed_at: None,
            has_text: false,
        }
    }
}

/// One call to a model, as the agent records it (`CortexStepGeneratorMetadata`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Generation {
    /// The agent's name of the requested model (`MODEL_PLACEHOLDER_M26`).
    pub model: Option<Id>,
    /// The model that answered.
    pub served_model: Option<Model>,
    /// The final tokens.
    pub usage: Option<AgentUsage>,
    /// `usage.responseId`
    pub response: Option<Id>,
    /// `usage.messageId`, or `usage.providerAssignedMessageId`: either may be the wire's response
    /// id.
    pub messages: Vec<Id>,
    /// `usage.responseHeader.sessionID`
    pub session: Option<Id>,
    /// The provider's trace ids of its attempts (`retryInfos[].traceId`); the last one is that of
    /// the final usage.
    pub traces: Vec<Id>,
    /// The execution that it belongs to.
    pub execution: Option<Id>,
}

impl Generation {
    /// The provider's id of the call: equal to that of the call on the wire where both sides know
    /// the trace.
    #[must_use]
    pub fn name(&self) -> Option<&Id> {
        self.traces
            .last()
            .or(self.response.as_ref())
            .or(self.messages.first())
    }
}

/// `ModelUsageStats`, in tokens. Unlike on the wire, `input` excludes cached tokens; `output`
/// includes thinking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentUsage {
    /// Input that was not cached.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache.
    pub cache_write: u64,
    /// All output.
    pub output: u64,
    /// The thinking within the output.
    pub thinking: u64,
}

impl RunStatus {
    /// From the enum's JSON name, its prefix included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.strip_prefix("CASCADE_RUN_STATUS_").unwrap_or(name) {
            "" | "UNSPECIFIED" => None,
            "BUSY" => Some(Self::Busy),
            "CANCELING" => Some(Self::Canceling),
            "ERROR" => Some(Self::Error),
            "IDLE" | "INACTIVE" | "UNLOADED" => Some(Self::Idle),
            _ => Some(Self::Running),
        }
    }

    /// From the enum's number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => None,
            1 => Some(Self::Idle),
            3 => Some(Self::Canceling),
            4 => Some(Self::Busy),
            _ => Some(Self::Running),
        }
    }
}

impl Termination {
    /// From the enum's JSON name, its prefix included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name
            .strip_prefix("EXECUTOR_TERMINATION_REASON_")
            .unwrap_or(name)
        {
            "" | "UNSPECIFIED" => None,
            "ERROR" => Some(Self::Error),
            "USER_CANCELED" => Some(Self::Canceled),
            _ => Some(Self::Finished),
        }
    }

    /// From the enum's number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => None,
            1 => Some(Self::Error),
            2 => Some(Self::Canceled),
            _ => Some(Self::Finished),
        }
    }
}
