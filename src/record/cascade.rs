//! What happens in an agent's conversations (cascades), as the agent itself reports it.

use std::time::{Duration, SystemTime};

use super::label::label;
use super::{AgentName, Cost, Id, Model, TraceContext};

label! {
    /// The identifier by which a call was assigned to its conversation.
    pub enum CorrelationMethod {
        /// A header field of the request.
        Header => "header",
        /// `request.labels`.
        Labels => "labels",
        /// None: the conversation is not known, whichever identifiers the call has.
        ///
        /// What to do: nothing for agents that name no conversation. If all calls of one that does
        /// are here, report it.
        None => "none",
        /// The agent's own id of the call (`requestId`).
        RequestId => "request_id",
        /// The session, which several calls of one conversation were seen to have, and none of
        /// another.
        Session => "session",
        /// The provider's trace of the call, which the agent or its telemetry names.
        TraceId => "trace_id",
    }
}

label! {
    /// How Gravimeter learns what happens in a conversation.
    pub enum UpdateSource {
        /// `StreamAgentStateUpdates`.
        AgentState => "agent_state",
        /// Polling.
        Polling => "polling",
        /// `StreamCascadeReactiveUpdates`.
        Reactive => "reactive",
        /// The agent's calls and its telemetry.
        Traffic => "traffic",
    }
}

label! {
    /// How a run ended.
    pub enum RunOutcome {
        /// The user stopped it.
        Canceled => "canceled",
        /// The agent gave up with an error.
        ///
        /// What to do: look at the agent's own log.
        Error => "error",
        /// The agent, its conversation or Gravimeter ended before the end of the run could be seen.
        ///
        /// What to do: see `gravimeter_cascade_follow_errors_total` and
        /// `gravimeter_agent_restarts_total`.
        Lost => "lost",
        /// It was completed.
        Ok => "ok",
        /// The agent went idle without an answer: the prompt was lost.
        ///
        /// What to do: send the message again; look at the agent's own log.
        Swallowed => "swallowed",
    }
}

label! {
    /// A step of a conversation, by the language server's names (`CORTEX_STEP_TYPE_*`); rare and
    /// new ones share `other`.
    pub enum StepKind {
        /// `BROWSER_SUBAGENT`
        BrowserSubagent => "browser_subagent",
        /// `CHECKPOINT`
        Checkpoint => "checkpoint",
        /// `CODE_ACTION`
        CodeAction => "code_action",
        /// `EPHEMERAL_MESSAGE`
        EphemeralMessage => "ephemeral_message",
        /// `ERROR_MESSAGE`
        ErrorMessage => "error_message",
        /// `GENERATE_IMAGE`
        GenerateImage => "generate_image",
        /// `GREP_SEARCH`
        GrepSearch => "grep_search",
        /// `INVOKE_SUBAGENT`
        InvokeSubagent => "invoke_subagent",
        /// `LIST_DIRECTORY`
        ListDirectory => "list_directory",
        /// `MCP_TOOL`
        McpTool => "mcp_tool",
        /// `NOTIFY_USER`
        NotifyUser => "notify_user",
        /// Any other.
        Other => "other",
        /// `PLANNER_RESPONSE`
        PlannerResponse => "planner_response",
        /// `RUN_COMMAND`
        RunCommand => "run_command",
        /// `SEARCH_WEB`
        SearchWeb => "search_web",
        /// `TASK_BOUNDARY`
        TaskBoundary => "task_boundary",
        /// `USER_INPUT`
        UserInput => "user_input",
        /// `VIEW_FILE`
        ViewFile => "view_file",
    }
}

label! {
    /// How a step stands, by the language server's names (`CORTEX_STEP_STATUS_*`).
    pub enum StepStatus {
        /// `CANCELED`
        Canceled => "canceled",
        /// `CLEARED`
        Cleared => "cleared",
        /// `DONE`
        Done => "done",
        /// `ERROR`
        ///
        /// What to do: look at the agent's own log.
        Error => "error",
        /// `GENERATING`
        Generating => "generating",
        /// `INTERRUPTED`
        Interrupted => "interrupted",
        /// `INVALID`
        Invalid => "invalid",
        /// Any other, such as none at all.
        Other => "other",
        /// `PENDING`
        Pending => "pending",
        /// `QUEUED`
        Queued => "queued",
        /// `RUNNING`
        Running => "running",
        /// `WAITING`
        Waiting => "waiting",
    }
}

impl StepStatus {
    /// Whether the step will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Canceled
                | Self::Cleared
                | Self::Done
                | Self::Error
                | Self::Interrupted
                | Self::Invalid
        )
    }
}

label! {
    /// How the agent's own count of a call's tokens compares with the one seen in the traffic.
    pub enum UsageComparison {
        /// The agent has a count of a call that was not seen in the traffic.
        ///
        /// What to do: look for traffic that bypasses Gravimeter: `gravimeter doctor`,
        /// `gravimeter_redirect_active`.
        AgentOnly => "agent_only",
        /// Both counts are the same.
        Agree => "agree",
        /// The counts differ.
        ///
        /// What to do: report it with the model: one of both counts is wrong.
        Disagree => "disagree",
        /// The call was seen in the traffic, and the agent has no count of it.
        WireOnly => "wire_only",
    }
}

label! {
    /// Why an update of a conversation was lost. The traffic is never affected.
    pub enum FollowFailure {
        /// The agent refused the token.
        ///
        /// What to do: restart the agent, or give Gravimeter its present token.
        BadToken => "bad_token",
        /// No connection to the agent's port.
        ///
        /// What to do: see that the agent runs, and that the configured port is its own.
        Connect => "connect",
        /// The agent has no such conversation (any more).
        Deleted => "deleted",
        /// A difference that does not fit what it is a difference to.
        ///
        /// What to do: report it with the version of the agent: what follows is read anew, and may
        /// have gaps.
        Diff => "diff",
        /// The agent does not have the method, or has it switched off.
        ///
        /// What to do: nothing if another source of updates works: see
        /// `gravimeter_cascade_updates_total`.
        Disabled => "disabled",
        /// What the agent said cannot be read.
        ///
        /// What to do: report it with the version of the agent.
        Malformed => "malformed",
        /// The agent answered with an error.
        ///
        /// What to do: look at the agent's own log.
        Rpc => "rpc",
        /// The agent did not answer in time.
        ///
        /// What to do: see whether the agent is overloaded.
        Timeout => "timeout",
        /// A stream ended in the middle of a message.
        ///
        /// What to do: nothing if the agent was stopped. Otherwise see whether it crashes.
        Truncated => "truncated",
    }
}

/// Which conversation a call belongs to, and how that is known. Never guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// The conversation, when it is known.
    pub cascade: Option<Id>,
    /// The identifier by which it is known.
    pub method: CorrelationMethod,
}

impl Default for Correlation {
    fn default() -> Self {
        Self {
            cascade: None,
            method: CorrelationMethod::None,
        }
    }
}

/// The conversation of a call that has been recorded already, which became known or changed after
/// that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlated {
    /// [`super::Call::number`].
    pub call: u64,
    /// What is known now.
    pub correlation: Correlation,
}

/// Identifiers that the agent's own telemetry names together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinedIds {
    /// The conversation.
    pub cascade: Option<Id>,
    /// The trajectory.
    pub trajectory: Option<Id>,
    /// The provider's trace of one call.
    pub provider_trace: Option<Id>,
}

/// A run has begun: the agent works on a message of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStarted {
    /// The conversation.
    pub cascade: Id,
    /// When.
    pub started_at: SystemTime,
}

/// One run, from the user's message until the agent and all of its subagents are idle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CascadeRun {
    /// The agent whose run it is.
    pub agent: AgentName,
    /// The conversation.
    pub cascade: Id,
    /// Its main trajectory.
    pub trajectory: Option<Id>,
    /// The model of its first call, as it was requested on the wire; what the agent names when no
    /// call was seen.
    pub model: Model,
    /// Whether its calls have asked for other models, too.
    pub has_several_models: bool,
    /// How it ended.
    pub outcome: RunOutcome,
    /// When it began.
    pub started_at: SystemTime,
    /// The user's message to fully idle.
    pub duration: Duration,
    /// The user's message to the first content-bearing event of a call.
    pub time_to_first_chunk: Option<Duration>,
    /// LLM calls that began in it.
    pub calls: u64,
    /// Calls of tools that their complete answers ask for; `None` where the agent reports its runs
    /// itself, as answers may be missing then.
    pub tool_calls: Option<u64>,
    /// Their tokens.
    pub tokens: u64,
    /// What they cost at list prices; `None` where a call has tokens of which no price is known.
    pub cost: Option<Cost>,
    /// Where its span stands; `None` where nothing is traced.
    pub trace: Option<TraceContext>,
}

/// What a subagent has done in one turn of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubagentRun {
    /// The subagent, by the agent's own id of it.
    pub subagent: Id,
    /// What kind of subagent it is, in the agent's own word.
    pub kind: Option<Id>,
    /// From its first call to its last; figures are of its own calls.
    pub run: CascadeRun,
}

/// A step has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEnded {
    /// The conversation.
    pub cascade: Id,
    /// What it was.
    pub step: StepKind,
    /// How it ended.
    pub status: StepStatus,
}
