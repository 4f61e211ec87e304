//! What an agent, or one of its subagents, does in one turn: from the beginning of its first call
//! to the end of its last.

use std::time::{Duration, Instant, SystemTime};

use super::under_way::CallsUnderWay;
use crate::cascade::conversation::Moment;
use crate::cascade::runs::{SeenCall, Sum};
use crate::record::{
    AgentName, Call, CascadeRun, Id, Model, Outcome, Provider, RunOutcome, TraceContext, TurnEnd,
};

/// The work of one turn.
#[derive(Debug)]
pub(super) struct Work {
    agent: AgentName,
    /// The turn, as the agent names it.
    pub(super) turn: Option<Id>,
    provider: Provider,
    pub(super) began: Instant,
    started_at: SystemTime,
    /// When its last call ended, or that of a subagent.
    ended: Instant,
    after_last_call: AfterCall,
    pub(super) calls: Sum,
    /// The place of its span; `None` where nothing is traced.
    pub(super) trace: Option<TraceContext>,
}

/// How things stand after the last call of the agent itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterCall {
    /// The agent broke it off.
    Aborted,
    /// It failed.
    Failed,
    /// The model asks for more, such as the result of a tool.
    GoesOn,
    /// The model has stopped.
    Over,
}

impl AfterCall {
    fn new(call: &Call) -> Self {
        match (call.outcome, call.turn.end) {
            (Outcome::Ok, TurnEnd::Over) => Self::Over,
            (Outcome::Ok, TurnEnd::GoesOn | TurnEnd::Unknown) => Self::GoesOn,
            (Outcome::Aborted, _) => Self::Aborted,
            _ => Self::Failed,
        }
    }

    /// How work ends after which nothing more comes.
    fn outcome(self) -> RunOutcome {
        match self {
            Self::Aborted => RunOutcome::Canceled,
            Self::Failed => RunOutcome::Error,
            Self::GoesOn => RunOutcome::Lost,
            Self::Over => RunOutcome::Ok,
        }
    }

    /// How long the next call may take to come; `None` where none is awaited.
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Aborted | Self::Failed => Some(ATTEMPTS_WITHIN),
            Self::GoesOn => Some(TOOLS_WITHIN),
            Self::Over => None,
        }
    }
}

impl Work {
    /// Work that begins with this call, which is still to be added.
    pub(super) fn begin(
        agent: AgentName,
        call: &Call,
        seen: &SeenCall,
        trace: Option<TraceContext>,
        now: Moment,
    ) -> Self {
        let ago = now.at.saturating_duration_since(seen.began);
        Self {
            agent,
            turn: call.turn.id.clone(),
            provider: call.provider,
            began: seen.began,
            started_at: now.wall.checked_sub(ago).unwrap_or(now.wall),
            ended: seen.ended,
            after_last_call: AfterCall::GoesOn,
            calls: Sum::default(),
            trace,
        }
    }

    /// A call of the agent whose work it is.
    pub(super) fn add(&mut self, call: &Call, seen: &SeenCall) {
        self.calls.add(seen);
        self.extend(seen.ended);
        self.after_last_call = AfterCall::new(call);
    }

    /// Something else that belongs to it lasted until then.
    pub(super) fn extend(&mut self, ended: Instant) {
        self.ended = self.ended.max(ended);
    }

    /// It lasted until then at most, because what follows it began then.
    pub(super) fn end_by(&mut self, at: Instant) {
        self.ended = self.ended.min(at).max(self.began);
    }

    pub(super) fn is_over(&self) -> bool {
        self.after_last_call == AfterCall::Over
    }

    /// Whether every call that began before its end has ended.
    pub(super) fn is_complete(&self, under_way: &CallsUnderWay) -> bool {
        under_way.have_ended_before(self.provider, self.ended)
    }

    /// Whether the next call has been waited for in vain. One that is under way may be it.
    pub(super) fn is_given_up(&self, under_way: &CallsUnderWay, now: Moment) -> bool {
        let Some(patience) = self.after_last_call.patience() else {
            return false;
        };
        let deadline = self.ended + patience;
        now.at >= deadline && under_way.have_ended_before(self.provider, deadline)
    }

    /// The run that it has been.
    pub(super) fn into_run(self, cascade: Id) -> CascadeRun {
        let Sum {
            count,
            tokens,
            tool_calls,
            cost,
            first,
            has_several_models,
            first_chunk,
            ..
        } = self.calls;
        CascadeRun {
            agent: self.agent,
            cascade,
            trajectory: None,
            model: first.map_or_else(Model::unknown, |(_, _, model)| model),
            has_several_models,
            outcome: self.after_last_call.outcome(),
            started_at: self.started_at,
            duration: self.ended.saturating_duration_since(self.began),
            time_to_first_chunk: first_chunk
                .map(|first| first.saturating_duration_since(self.began)),
            calls: count,
            tool_calls: Some(tool_calls),
            tokens,
            cost,
            trace: self.trace,
        }
    }
}

/// How long an agent may wait before it tries again a call that failed: Claude Code waits for half
/// a minute at most, unless the provider asks for more.
pub(super) const ATTEMPTS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// How long tools may take. Most have limits of minutes; an agent that waits longer waits for a
/// person, or is gone.
pub(super) const TOOLS_WITHIN: Duration = Duration::from_secs(60 * 60);
