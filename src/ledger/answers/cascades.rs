//! The shape of the answers of `/v1/cascades`, and what is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::groups::{ListedGroup, list_models};
use super::report::{Group, by_model};
use super::usage::Usage;
use crate::ledger::memory::call::CallRecord;
use crate::ledger::memory::conversation::{Conversation, Rank, Run, SubagentSums};
use crate::ledger::memory::models::Names;
use crate::ledger::memory::store::Store;
use crate::record::{DisplayName, Id, Model, RepositoryName, StepKind, StepStatus};

/// Whether the agent works on a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its user.
    Idle,
    /// A run is not over.
    Running,
}

/// Which conversations are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CascadesQuery {
    /// Only those in this state.
    pub state: Option<State>,
    /// At most so many.
    pub limit: usize,
    /// Only what follows an earlier page.
    pub cursor: Option<Cursor>,
}

/// Where the next page of a list begins: [`CascadePage::next`] of the page before it. The text is
/// for machines alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Rank);

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of an earlier answer")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (nanoseconds, number) = text.split_once('.').ok_or(InvalidCursor)?;
        let nanoseconds = nanoseconds.parse().map_err(|_| InvalidCursor)?;
        let last_active_at = Timestamp::from_nanosecond(nanoseconds).map_err(|_| InvalidCursor)?;
        Ok(Self(Rank {
            last_active_at,
            number: number.parse().map_err(|_| InvalidCursor)?,
        }))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}",
            self.0.last_active_at.as_nanosecond(),
            self.0.number
        )
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A page of the list, the newest activity first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CascadePage {
    /// The conversations.
    pub cascades: Vec<Cascade>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
    /// Calls whose conversation became known only after their details had been dropped: no
    /// conversation counts them.
    pub correlated_too_late: u64,
}

/// A conversation in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cascade {
    /// Its id.
    pub id: Id,
    /// Whether the agent works on it.
    pub state: State,
    /// The model that most tokens went to, or that of its last run when no call was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// The display name of the model, if the agent has reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The model that its first call asked for, as far as calls are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_model: Option<Model>,
    /// The repository that it works in, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The first thing that is known of it.
    pub started_at: Timestamp,
    /// The last thing that is known of it.
    pub last_active_at: Timestamp,
    /// When the run began that is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_since: Option<Timestamp>,
    /// How many runs have ended.
    pub runs_ended: u64,
    /// The last run that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Run>,
    /// All its calls.
    pub usage: Usage,
}

/// A conversation with everything that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CascadeDetails {
    /// In short.
    #[serde(flatten)]
    pub cascade: Cascade,
    /// Its calls by model, those with the most tokens first, in fields that never change their
    /// form.
    pub by_model: Vec<ListedGroup>,
    /// The same under the keys of [`super::report::UsageReport::models`].
    pub models: BTreeMap<String, Group>,
    /// The calls of its subagents, the one with the most tokens first. They are in the other
    /// figures, too.
    pub subagents: Vec<SubagentUsage>,
    /// Ended steps by kind and end.
    pub steps: BTreeMap<StepKind, BTreeMap<StepStatus, u64>>,
    /// The newest of the runs that have ended, the last one first.
    pub runs: Vec<Run>,
    /// The newest calls, the last one first.
    pub calls: Vec<CallRecord>,
}

/// The calls of one subagent of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubagentUsage {
    /// Its id.
    pub subagent: Id,
    /// The subagent that has started it; absent where the main agent has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_subagent: Option<Id>,
    /// What kind it is, in the agent's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagent_kind: Option<Id>,
    /// The model that most tokens went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
}

impl CascadePage {
    pub(in crate::ledger) fn new(store: &Store, names: &Names, query: &CascadesQuery) -> Self {
        let wanted = |(_, conversation): &(&Id, &Conversation)| {
            query
                .state
                .is_none_or(|state| state == conversation.state())
        };
        let mut found = store
            .cascades(query.cursor.map(|cursor| cursor.0))
            .filter(wanted)
            .peekable();
        let (mut cascades, mut last) = (Vec::new(), None);
        while cascades.len() < query.limit
            && let Some((id, conversation)) = found.next()
        {
            cascades.push(Cascade::new(id, conversation, names));
            last = Some(Cursor(conversation.rank));
        }
        let next = last.filter(|_| found.peek().is_some());
        Self {
            cascades,
            next,
            correlated_too_late: store.too_late(),
        }
    }
}

impl Cascade {
    /// `None` where no such conversation is kept.
    pub(in crate::ledger) fn find(store: &Store, names: &Names, id: &Id) -> Option<Self> {
        let conversation = store.cascade(id)?;
        Some(Self::new(id, conversation, names))
    }

    fn new(id: &Id, conversation: &Conversation, names: &Names) -> Self {
        let opening = conversation.opening.as_ref();
        let last_run = conversation.runs.back();
        let main = conversation.sums.main();
        let model = main
            .map(|served| &served.model)
            .or(last_run.map(|run| &run.model));
        let display_name = match main {
            Some(served) => names.of(served),
            None => model.and_then(|model| names.of_any(model)),
        };
        Self {
            id: id.clone(),
            state: conversation.state(),
            model: model.cloned(),
            display_name: display_name.cloned(),
            first_model: opening.map(|opening| opening.model.clone()),
            repository: opening.and_then(|opening| opening.repository.clone()),
            started_at: conversation.started_at,
            last_active_at: conversation.rank.last_active_at,
            running_since: conversation.running_since,
            runs_ended: conversation.runs_ended,
            last_run: last_run.cloned(),
            usage: Usage::from(&conversation.sums.total()),
        }
    }
}

impl CascadeDetails {
    /// `None` where no such conversation is kept.
    pub(in crate::ledger) fn find(store: &Store, names: &Names, id: &Id) -> Option<Self> {
        let conversation = store.cascade(id)?;
        let mut steps: BTreeMap<StepKind, BTreeMap<StepStatus, u64>> = BTreeMap::new();
        for ((kind, status), count) in &conversation.steps {
            steps.entry(*kind).or_default().insert(*status, *count);
        }
        let models = by_model(&conversation.sums, &conversation.substitutions, names);
        Some(Self {
            cascade: Cascade::new(id, conversation, names),
            by_model: list_models(&models),
            models,
            subagents: list_subagents(conversation),
            steps,
            runs: conversation.runs.iter().rev().cloned().collect(),
            calls: store.calls_of(conversation).cloned().collect(),
        })
    }
}

fn list_subagents(conversation: &Conversation) -> Vec<SubagentUsage> {
    let usage = |(id, found): (&Id, &SubagentSums)| SubagentUsage {
        subagent: id.clone(),
        parent_subagent: found.parent.clone(),
        subagent_kind: found.kind.clone(),
        model: found.sums.main().map(|served| served.model.clone()),
        usage: Usage::from(&found.sums.total()),
    };
    let mut subagents: Vec<_> = conversation.subagents.iter().map(usage).collect();
    subagents.sort_by_key(|found| std::cmp::Reverse(found.usage.total_tokens));
    subagents
}

impl Conversation {
    fn state(&self) -> State {
        if self.running_since.is_some() {
            State::Running
        } else {
            State::Idle
        }
    }
}
