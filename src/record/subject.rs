//! What a call counts for: who answers it, which model is asked, and who asks.

use super::{Call, Cost, Id, Model, ProgramName, Provider, RepositoryName, SessionId};

/// What a call counts for, as far as it is known when the call ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Who answers.
    pub provider: Provider,
    /// The requested model, under the name that it is counted under.
    pub model: Model,
    /// The program that asks.
    pub program: Option<ProgramName>,
    /// The repository that it works in.
    pub repository: Option<RepositoryName>,
    /// The session that it runs in.
    pub session: Option<SessionId>,
    /// The subagent that asks; `None` for the main agent.
    pub subagent: Option<Id>,
}

impl From<&Call> for Subject {
    fn from(call: &Call) -> Self {
        let caller = &call.caller;
        Self {
            provider: call.provider,
            model: call.counted_as.as_ref().unwrap_or(&call.model).clone(),
            program: caller.program.clone(),
            repository: caller.repository.clone(),
            session: caller.session.clone(),
            subagent: call.ids.subagent.clone(),
        }
    }
}

/// The sums of calls that count for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectTotals {
    /// What they count for. What the sums are not kept apart by is `None`.
    pub subject: Subject,
    /// Calls that ended.
    pub calls: u64,
    /// Tokens of all kinds.
    pub tokens: u64,
    /// What the calls with a price cost.
    pub cost: Cost,
    /// Calls that have tokens and no price.
    pub unpriced_calls: u64,
}

impl From<&Call> for SubjectTotals {
    fn from(call: &Call) -> Self {
        Self {
            subject: Subject::from(call),
            calls: 1,
            tokens: call.usage.total(),
            cost: call.cost.unwrap_or_default(),
            unpriced_calls: call.is_unpriced().into(),
        }
    }
}
