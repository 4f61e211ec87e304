//! One conversation as it is kept: its runs, steps and sums, and which calls are kept of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::call::CallRecord;
use super::substitutions::Substitutions;
use super::sums::{ByModel, Served};
use super::time::{after, time};
use crate::record::{
    AgentName, CascadeRun, Id, Model, RepositoryName, RunOutcome, StepKind, StepStatus,
};

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The agent whose run it was.
    pub agent: AgentName,
    /// When it began.
    pub started_at: Timestamp,
    /// The user's message to fully idle.
    pub duration_seconds: f64,
    /// The user's message to the first content-bearing event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_first_chunk_seconds: Option<f64>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The model of its first call.
    pub model: Model,
    /// LLM calls that began in it.
    pub calls: u64,
    /// Their tokens.
    pub total_tokens: u64,
}

impl From<&CascadeRun> for Run {
    fn from(run: &CascadeRun) -> Self {
        Self {
            agent: run.agent,
            started_at: time(run.started_at),
            duration_seconds: run.duration.as_secs_f64(),
            time_to_first_chunk_seconds: run.time_to_first_chunk.map(|first| first.as_secs_f64()),
            outcome: run.outcome,
            model: run.model.clone(),
            calls: run.calls,
            total_tokens: run.tokens,
        }
    }
}

/// Where a conversation stands among the others: by its last activity, and apart from any other by
/// its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct Rank {
    pub(in crate::ledger) last_active_at: Timestamp,
    pub(in crate::ledger) number: u64,
}

/// What is kept of one subagent of a conversation.
#[derive(Debug, Default)]
pub(in crate::ledger) struct SubagentSums {
    /// The subagent that has started it; `None` where the main agent has.
    pub(in crate::ledger) parent: Option<Id>,
    /// What kind it is, in the agent's own word.
    pub(in crate::ledger) kind: Option<Id>,
    pub(in crate::ledger) sums: ByModel,
}

impl SubagentSums {
    /// Adds what was known of it before.
    pub(super) fn merge(&mut self, before: Self) {
        self.sums.merge(&before.sums);
        self.parent = self.parent.take().or(before.parent);
        self.kind = self.kind.take().or(before.kind);
    }
}

/// How a conversation began, by which a person knows it.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Opening {
    /// When its first call began.
    pub(in crate::ledger) started_at: Timestamp,
    /// The model that its first call asked for.
    pub(in crate::ledger) model: Model,
    /// The repository that it works in, once that is known.
    pub(in crate::ledger) repository: Option<RepositoryName>,
}

impl Opening {
    /// The opening of what consists of these calls.
    pub(super) fn of<'a>(calls: impl Iterator<Item = &'a CallRecord>) -> Option<Self> {
        calls.fold(None, |opening, call| Some(Self::with(opening, call)))
    }

    /// The opening once a call is known, too. Calls need not come in the order of their times.
    fn with(opening: Option<Self>, call: &CallRecord) -> Self {
        let of_call = || Self {
            started_at: call.started_at,
            model: call.model.clone(),
            repository: call.caller.repository.clone(),
        };
        let Some(known) = opening else {
            return of_call();
        };
        let (mut first, later) = if call.started_at < known.started_at {
            (of_call(), known.repository)
        } else {
            (known, call.caller.repository.clone())
        };
        first.repository = first.repository.or(later);
        first
    }
}

/// What is kept of a conversation, or of calls that may become part of one.
#[derive(Debug)]
pub(in crate::ledger) struct Conversation {
    pub(in crate::ledger) rank: Rank,
    /// The first thing that is known of it.
    pub(in crate::ledger) started_at: Timestamp,
    /// Of its calls; `None` while none is known with its details.
    pub(in crate::ledger) opening: Option<Opening>,
    /// When the run began that is not over.
    pub(in crate::ledger) running_since: Option<Timestamp>,
    pub(in crate::ledger) runs_ended: u64,
    /// The newest runs, the last one at the back.
    pub(in crate::ledger) runs: VecDeque<Run>,
    pub(in crate::ledger) steps: BTreeMap<(StepKind, StepStatus), u64>,
    /// Of all its calls, kept or not.
    pub(in crate::ledger) sums: ByModel,
    /// Of them, those that another model has answered.
    pub(in crate::ledger) substitutions: Substitutions,
    /// Of the calls of its subagents, which are in the sums, too.
    pub(in crate::ledger) subagents: BTreeMap<Id, SubagentSums>,
    /// The numbers of the calls that are kept; those of earlier processes are negative.
    pub(in crate::ledger) calls: BTreeSet<i64>,
}

impl Conversation {
    /// `number` is its own among all conversations.
    pub(in crate::ledger) fn new(number: u64, started_at: Timestamp) -> Self {
        Self {
            rank: Rank {
                last_active_at: started_at,
                number,
            },
            started_at,
            opening: None,
            running_since: None,
            runs_ended: 0,
            runs: VecDeque::new(),
            steps: BTreeMap::new(),
            sums: ByModel::default(),
            substitutions: Substitutions::default(),
            subagents: BTreeMap::new(),
            calls: BTreeSet::new(),
        }
    }

    /// Counts a call.
    pub(super) fn add(&mut self, served: &Served, call: &CallRecord) {
        let sums = call.sums();
        self.sums.add(served, &sums);
        self.opened_by(call);
        if let Some(answered) = &call.substituted_by {
            self.substitutions.add(served, answered, 1);
        }
        let Some(subagent) = self.subagent(call.subagent.as_ref()) else {
            return;
        };
        subagent.sums.add(served, &sums);
        subagent.parent = subagent.parent.take().or(call.parent_subagent.clone());
        subagent.kind = subagent.kind.take().or(call.subagent_kind.clone());
    }

    /// Notes how it began, once a call of it is known.
    pub(super) fn opened_by(&mut self, call: &CallRecord) {
        self.opening = Some(Opening::with(self.opening.take(), call));
    }

    /// Takes away a call that was counted before.
    pub(super) fn take_away(&mut self, served: &Served, call: &CallRecord) {
        let sums = call.sums();
        self.sums.take_away(served, &sums);
        if let Some(answered) = &call.substituted_by {
            self.substitutions.take_away(served, answered);
        }
        if let Some(id) = &call.subagent
            && let Some(subagent) = self.subagents.get_mut(id)
        {
            subagent.sums.take_away(served, &sums);
            if subagent.sums.0.is_empty() {
                self.subagents.remove(id);
            }
        }
    }

    /// The sums of a subagent; `None` where there is no room for another one.
    fn subagent(&mut self, id: Option<&Id>) -> Option<&mut SubagentSums> {
        let id = id?;
        let has_room = self.subagents.len() < MAX_SUBAGENTS || self.subagents.contains_key(id);
        has_room.then(|| self.subagents.entry(id.clone()).or_default())
    }

    /// Something happened in it. Facts need not come in the order of their times.
    pub(super) fn touch(&mut self, began: Timestamp, ended: Timestamp) {
        self.started_at = self.started_at.min(began);
        self.rank.last_active_at = self.rank.last_active_at.max(ended);
    }

    /// At most `limit` runs are kept.
    pub(in crate::ledger) fn run_ended(&mut self, run: &CascadeRun, limit: usize) {
        self.running_since = None;
        self.runs_ended += 1;
        self.runs.push_back(run.into());
        if self.runs.len() > limit {
            self.runs.pop_front();
        }
    }

    /// Whether nothing is known of it any more, since its calls turned out to belong elsewhere.
    pub(in crate::ledger) fn is_empty(&self) -> bool {
        self.sums.0.is_empty()
            && self.running_since.is_none()
            && self.runs_ended == 0
            && self.steps.is_empty()
    }
}

/// Most subagents of a conversation whose sums are kept apart, some 300 bytes each; a handful is
/// usual.
pub(super) const MAX_SUBAGENTS: usize = 256;

/// When the run ended.
pub(super) fn end_of(run: &CascadeRun) -> Timestamp {
    after(time(run.started_at), run.duration)
}
