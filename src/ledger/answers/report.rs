//! The shape of an answer of `/v1/usage`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::callers::{CallerGroup, CallerKind, by_caller};
use super::groups::ListedGroup;
use super::page::UsageCursor;
use super::query::UsageQuery;
use super::rules::{RuleGroup, by_rule};
use super::usage::Usage;
use crate::ledger::file::grouping::{By, Period};
use crate::ledger::file::query::Found;
use crate::ledger::file::subagents::FoundSubagent;
use crate::ledger::memory::models::Names;
use crate::ledger::memory::substitutions::Substitutions;
use crate::ledger::memory::sums::{ByModel, Served, Sums};
use crate::ledger::memory::thread::{OTHER, Thread};
use crate::record::{DisplayName, Id, Model, Operation, Provider};

/// A model's group of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name on the wire, which the key of its group begins with.
    #[serde(skip)]
    pub model: Model,
    /// Who answered the calls.
    pub provider: Provider,
    /// The display name of the model, if the agent has reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The calls that other models have answered instead of this one, by those models; other names
    /// of the same model are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub served_models: BTreeMap<Model, u64>,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
}

/// A conversation's group of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CascadeGroup {
    /// What it is of; `None` is conversations that are not kept apart any more.
    #[serde(skip)]
    pub(in crate::ledger) thread: Option<Thread>,
    /// The model that most tokens went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// The display name of the model, if the agent has reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
}

/// A subagent's group of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubagentGroup {
    /// Its conversation and its id; `None` is everything else.
    #[serde(skip)]
    pub(in crate::ledger) id: Option<(Id, Id)>,
    /// The subagent that has started it; absent where the main agent has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_subagent: Option<Id>,
    /// What kind it is, in the agent's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagent_kind: Option<Id>,
    /// The model that most tokens went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// What people call it, where the agent told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
}

/// The answer of `/v1/usage`. The groups of a grouping add up to the totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// When the sums begin.
    pub since: Timestamp,
    /// When they were read.
    pub until: Timestamp,
    /// Everything together.
    pub totals: Usage,
    /// Groups by day of the time zone that was asked for, those with calls. A call belongs to the
    /// day on which it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<BTreeMap<Period, Usage>>,
    /// Groups by hour, the same way. The key is the hour's beginning with the offset of the time
    /// zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<BTreeMap<Period, Usage>>,
    /// Groups by week, the same way. The key is the date of its Monday.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weeks: Option<BTreeMap<Period, Usage>>,
    /// Groups by month, the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub months: Option<BTreeMap<Period, Usage>>,
    /// The groups in the order of pages, in fields that never change their form: what programs
    /// should read. The maps below hold the same groups under keys for people. Left out of a report
    /// that is not one of pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<ListedGroup>>,
    /// Groups by model. The key is the model's name; where two providers serve a model of that
    /// name, or the name itself holds an `@`, it is `model@provider`, so that no two groups can
    /// share a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeMap<String, Group>>,
    /// Groups by what the calls were for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<BTreeMap<Operation, Usage>>,
    /// Groups by provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<BTreeMap<Provider, Usage>>,
    /// Groups by conversation. The key is its id. Calls whose conversation is not known stand under
    /// `trajectory/<id>` or `unknown`, conversations that are no longer kept apart under `other`;
    /// an id that looks like one of these or holds a `/` is written `cascade/<id>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascades: Option<BTreeMap<String, CascadeGroup>>,
    /// Groups by subagent. The key is the id of its conversation, a space, and its own. Calls that
    /// no subagent is known to have made stand under `none`: those of main agents, and those whose
    /// details are not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagents: Option<BTreeMap<String, SubagentGroup>>,
    /// Groups by branch. The key is the repository, a space, and the branch; the repository alone
    /// where no branch is checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branches: Option<BTreeMap<String, CallerGroup>>,
    /// Groups by program. In these four, calls whose caller is not known, or not kept apart, stand
    /// under `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs: Option<BTreeMap<String, CallerGroup>>,
    /// Groups by repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<BTreeMap<String, CallerGroup>>,
    /// Groups by session, as far as the calls are kept with their details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<BTreeMap<String, CallerGroup>>,
    /// Groups by the rules that changed requests, as far as the calls are kept with their details.
    /// The key has the names of the rules, joined by `+`; calls that no rule is known to have
    /// changed stand under `none`; a rule of that name under `rule/none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<BTreeMap<String, RuleGroup>>,
    /// With groups by conversation: calls whose conversation became known only after their details
    /// had been dropped. They stay where they were counted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlated_too_late: Option<u64>,
    /// Where the next page of the groups begins; absent where no others follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<UsageCursor>,
}

impl UsageReport {
    /// A report without groups.
    pub(in crate::ledger) fn new(since: Timestamp, until: Timestamp, sums: &Sums) -> Self {
        Self {
            since,
            until,
            totals: Usage::from(sums),
            groups: None,
            cascades: None,
            subagents: None,
            correlated_too_late: None,
            next_cursor: None,
            days: None,
            hours: None,
            weeks: None,
            months: None,
            models: None,
            operations: None,
            providers: None,
            branches: None,
            programs: None,
            repositories: None,
            sessions: None,
            rules: None,
        }
    }

    /// Where the groups of that kind stand; `None` for those of no caller.
    pub(super) fn callers(
        &mut self,
        kind: CallerKind,
    ) -> Option<&mut Option<BTreeMap<String, CallerGroup>>> {
        match kind {
            CallerKind::Branch => Some(&mut self.branches),
            CallerKind::Program => Some(&mut self.programs),
            CallerKind::Repository => Some(&mut self.repositories),
            CallerKind::Session => Some(&mut self.sessions),
            CallerKind::Unknown => None,
        }
    }
}

impl Found {
    /// As it is shown.
    pub(in crate::ledger) fn into_report(
        self,
        query: &UsageQuery,
        since: Timestamp,
        until: Timestamp,
        names: &Names,
    ) -> UsageReport {
        let mut total = self.sums.total();
        self.operations
            .values()
            .chain(self.periods.values())
            .for_each(|sums| total.add(sums));
        let mut report = UsageReport::new(since, until, &total);
        let periods = || {
            self.periods
                .iter()
                .map(|(period, sums)| (period.clone(), Usage::from(sums)))
                .collect()
        };
        match query.by {
            By::Cascade => {
                let threads = self
                    .threads
                    .iter()
                    .map(|found| (Some(&found.thread), &found.sums));
                report.cascades = Some(by_thread(threads.chain([(None, &self.other)]), names));
            }
            By::Branch | By::Program | By::Repository | By::Session => {
                if let Some(kind) = CallerKind::of(query.by)
                    && let Some(groups) = report.callers(kind)
                {
                    *groups = Some(by_caller(kind, &self.callers, &self.other, names));
                }
            }
            By::Day => report.days = Some(periods()),
            By::Hour => report.hours = Some(periods()),
            By::Model => report.models = Some(by_model(&self.sums, &self.substitutions, names)),
            By::Month => report.months = Some(periods()),
            By::Operation => {
                let operations = self.operations.iter();
                report.operations = Some(
                    operations
                        .map(|(operation, sums)| (*operation, Usage::from(sums)))
                        .collect(),
                );
            }
            By::Provider => report.providers = Some(by_provider(&self.sums)),
            By::Rule => report.rules = Some(by_rule(&self.rules, &self.other, names)),
            By::Subagent => {
                report.subagents = Some(by_subagent(&self.subagents, &self.other, names));
            }
            By::Week => report.weeks = Some(periods()),
        }
        report
    }
}

impl CascadeGroup {
    fn new(thread: Option<&Thread>, sums: &ByModel, names: &Names) -> Self {
        let main = sums.main();
        Self {
            thread: thread.cloned(),
            model: main.map(|served| served.model.clone()),
            display_name: main.and_then(|served| names.of(served)).cloned(),
            usage: Usage::from(&sums.total()),
        }
    }
}

impl SubagentGroup {
    fn new(found: Option<&FoundSubagent>, sums: &ByModel, names: &Names) -> Self {
        let main = sums.main();
        Self {
            id: found.map(|found| (found.cascade.clone(), found.subagent.clone())),
            parent_subagent: found.and_then(|found| found.parent.clone()),
            subagent_kind: found.and_then(|found| found.kind.clone()),
            model: main.map(|served| served.model.clone()),
            display_name: main.and_then(|served| names.of(served)).cloned(),
            usage: Usage::from(&sums.total()),
        }
    }
}

/// Groups by subagent, and one of all other calls where there are any. No id holds a space.
fn by_subagent(
    found: &[FoundSubagent],
    other: &ByModel,
    names: &Names,
) -> BTreeMap<String, SubagentGroup> {
    let group = |found: &FoundSubagent| {
        let key = format!("{} {}", found.cascade, found.subagent);
        (key, SubagentGroup::new(Some(found), &found.sums, names))
    };
    let rest =
        (!other.0.is_empty()).then(|| (NONE.to_owned(), SubagentGroup::new(None, other, names)));
    found.iter().map(group).chain(rest).collect()
}

/// The key of calls that no subagent is known to have made.
const NONE: &str = "none";

/// Groups by conversation; without a thread they are all that are not kept apart. Those without
/// calls are left out.
pub(in crate::ledger) fn by_thread<'a>(
    groups: impl Iterator<Item = (Option<&'a Thread>, &'a ByModel)>,
    names: &Names,
) -> BTreeMap<String, CascadeGroup> {
    let key = |thread: Option<&Thread>| thread.map_or_else(|| OTHER.to_owned(), Thread::key);
    let groups = groups.filter(|(_, sums)| !sums.0.is_empty());
    groups
        .map(|(thread, sums)| (key(thread), CascadeGroup::new(thread, sums, names)))
        .collect()
}

/// Groups by model, under keys that no two can share.
pub(in crate::ledger) fn by_model(
    sums: &ByModel,
    substitutions: &Substitutions,
    names: &Names,
) -> BTreeMap<String, Group> {
    let mut servers: BTreeMap<&Model, usize> = BTreeMap::new();
    sums.0
        .keys()
        .for_each(|served| *servers.entry(&served.model).or_default() += 1);
    let group = |(served, sums): (&Served, &Sums)| {
        let Served { model, provider } = served;
        let ambiguous = servers.get(model) != Some(&1) || model.as_str().contains('@');
        let key = if ambiguous {
            format!("{model}@{provider}")
        } else {
            model.to_string()
        };
        let display_name = names.of(served).cloned();
        (
            key,
            Group {
                model: model.clone(),
                provider: *provider,
                display_name,
                served_models: substitutions.of(served),
                usage: Usage::from(sums),
            },
        )
    };
    sums.iter().map(group).collect()
}

/// Groups by provider.
pub(in crate::ledger) fn by_provider(sums: &ByModel) -> BTreeMap<Provider, Usage> {
    let mut providers: BTreeMap<Provider, Sums> = BTreeMap::new();
    sums.iter()
        .for_each(|(served, sums)| providers.entry(served.provider).or_default().add(sums));
    providers
        .iter()
        .map(|(provider, sums)| (*provider, Usage::from(sums)))
        .collect()
}
