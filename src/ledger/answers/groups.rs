//! The groups of an answer as a list, in the order of pages: what each is of stands in fields that
//! never change their form.
//!
//! The maps of a report have keys for people: `m` becomes `m@provider` as soon as a second provider
//! serves that model. A program that looks for a group does so here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::callers::{CallerGroup, CallerKind};
use super::page::{Place, spent};
use super::report::{CascadeGroup, Group, SubagentGroup, UsageReport};
use super::rules::RuleGroup;
use super::usage::Usage;
use crate::ledger::file::grouping::{By, Period};
use crate::ledger::memory::thread::Thread;
use crate::record::{
    Caller, DisplayName, Id, Label as _, Model, Operation, Provider, RuleName, label,
};

/// A group of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedGroup {
    /// What it is of.
    #[serde(flatten)]
    pub of: Of,
    /// The display name of its model, if the agent has reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// [`Group::served_models`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub served_models: BTreeMap<Model, u64>,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
    /// Where it stands, by the key that it has in its map.
    #[serde(skip)]
    pub(in crate::ledger) place: Place,
}

/// What a group is of: no two groups of a list are of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Of {
    /// Who calls, by the grouping's own notion, or calls of which that is not known.
    Caller {
        /// What the group is one by.
        kind: CallerKind,
        /// Who calls.
        #[serde(flatten)]
        caller: Option<Caller>,
        /// The model that most tokens went to.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<Model>,
    },
    /// A conversation, or calls that are not known to belong to one.
    Cascade {
        /// Which of them.
        kind: CascadeKind,
        /// The conversation's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        cascade: Option<Id>,
        /// The trajectory's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        trajectory: Option<Id>,
        /// The model that most tokens went to.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<Model>,
    },
    /// A day.
    Day {
        /// As `2026-11-23`.
        day: Period,
    },
    /// An hour.
    Hour {
        /// Its beginning, as `2026-11-23T20:00:00+01:00`.
        hour: Period,
    },
    /// A model as one provider serves it.
    Model {
        /// Its name on the wire.
        model: Model,
        /// Who answered.
        provider: Provider,
    },
    /// A month.
    Month {
        /// As `2026-11`.
        month: Period,
    },
    /// What calls were for.
    Operation {
        /// Its name.
        operation: Operation,
    },
    /// Who answered.
    Provider {
        /// Its name.
        provider: Provider,
    },
    /// Rules that changed requests, or calls that none is known to have changed.
    Rule {
        /// Which rules, in the order in which they were applied.
        rules: Vec<RuleName>,
        /// The model that most tokens went to.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<Model>,
    },
    /// A subagent, or calls that none is known to have made.
    Subagent {
        /// Which of them.
        kind: SubagentKind,
        /// The conversation's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        cascade: Option<Id>,
        /// The subagent's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        subagent: Option<Id>,
        /// The subagent that has started it.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent_subagent: Option<Id>,
        /// What kind it is, in the agent's own word.
        #[serde(skip_serializing_if = "Option::is_none")]
        subagent_kind: Option<Id>,
        /// The model that most tokens went to.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<Model>,
    },
    /// A week.
    Week {
        /// Its Monday, as `2026-11-23`.
        week: Period,
    },
}

label! {
    /// What the calls of a group have in common, where groups are conversations.
    pub enum CascadeKind {
        /// A conversation.
        Cascade => "cascade",
        /// Conversations that are not kept apart any more.
        Other => "other",
        /// A trajectory whose conversation is not known.
        Trajectory => "trajectory",
        /// Neither conversation nor trajectory is known.
        Unknown => "unknown",
    }
}

label! {
    /// What the calls of a group have in common, where groups are subagents.
    pub enum SubagentKind {
        /// No subagent is known to have made them.
        None => "none",
        /// One subagent has made them.
        Subagent => "subagent",
    }
}

impl UsageReport {
    /// The groups that the maps of the report hold, in the order of pages.
    pub(in crate::ledger) fn list(&self, by: By) -> Vec<ListedGroup> {
        let of_callers = |groups: &Option<BTreeMap<String, CallerGroup>>| {
            let kind = CallerKind::of(by).unwrap_or(CallerKind::Unknown);
            let groups = groups.iter().flatten();
            groups
                .map(|(key, group)| of_caller(kind, key, group))
                .collect()
        };
        let mut groups: Vec<ListedGroup> = match by {
            By::Branch => of_callers(&self.branches),
            By::Program => of_callers(&self.programs),
            By::Repository => of_callers(&self.repositories),
            By::Session => of_callers(&self.sessions),
            By::Cascade => self.cascades.iter().flatten().map(of_cascade).collect(),
            By::Day => self.days.iter().flatten().map(of_day).collect(),
            By::Hour => self.hours.iter().flatten().map(of_hour).collect(),
            By::Model => return self.models.as_ref().map(list_models).unwrap_or_default(),
            By::Month => self.months.iter().flatten().map(of_month).collect(),
            By::Operation => self.operations.iter().flatten().map(of_operation).collect(),
            By::Provider => self.providers.iter().flatten().map(of_provider).collect(),
            By::Rule => self.rules.iter().flatten().map(of_rules).collect(),
            By::Subagent => self.subagents.iter().flatten().map(of_subagent).collect(),
            By::Week => self.weeks.iter().flatten().map(of_week).collect(),
        };
        in_order(&mut groups);
        groups
    }
}

/// Models in the order of pages.
pub(super) fn list_models(models: &BTreeMap<String, Group>) -> Vec<ListedGroup> {
    let mut groups: Vec<_> = models.iter().map(of_model).collect();
    in_order(&mut groups);
    groups
}

fn in_order(groups: &mut [ListedGroup]) {
    groups.sort_unstable_by(|one, other| one.place.cmp(&other.place));
}

fn of_cascade((key, group): (&String, &CascadeGroup)) -> ListedGroup {
    let model = group.model.clone();
    let (kind, cascade, trajectory) = match &group.thread {
        Some(Thread::Cascade(id)) => (CascadeKind::Cascade, Some(id.clone()), None),
        Some(Thread::Trajectory(id)) => (CascadeKind::Trajectory, None, Some(id.clone())),
        Some(Thread::Unknown) => (CascadeKind::Unknown, None, None),
        None => (CascadeKind::Other, None, None),
    };
    let of = Of::Cascade {
        kind,
        cascade,
        trajectory,
        model,
    };
    ListedGroup {
        display_name: group.display_name.clone(),
        ..listed(of, spent(key, &group.usage), &group.usage)
    }
}

fn of_caller(kind: CallerKind, key: &str, group: &CallerGroup) -> ListedGroup {
    let of = Of::Caller {
        kind: match group.caller {
            Some(_) => kind,
            None => CallerKind::Unknown,
        },
        caller: group.caller.clone(),
        model: group.model.clone(),
    };
    ListedGroup {
        display_name: group.display_name.clone(),
        ..listed(of, spent(key, &group.usage), &group.usage)
    }
}

fn of_day((day, usage): (&Period, &Usage)) -> ListedGroup {
    listed(Of::Day { day: day.clone() }, Place::of(day), usage)
}

fn of_hour((hour, usage): (&Period, &Usage)) -> ListedGroup {
    listed(Of::Hour { hour: hour.clone() }, Place::of(hour), usage)
}

fn of_model((key, group): (&String, &Group)) -> ListedGroup {
    let of = Of::Model {
        model: group.model.clone(),
        provider: group.provider,
    };
    ListedGroup {
        display_name: group.display_name.clone(),
        served_models: group.served_models.clone(),
        ..listed(of, spent(key, &group.usage), &group.usage)
    }
}

fn of_month((month, usage): (&Period, &Usage)) -> ListedGroup {
    let of = Of::Month {
        month: month.clone(),
    };
    listed(of, Place::of(month), usage)
}

fn of_operation((operation, usage): (&Operation, &Usage)) -> ListedGroup {
    listed(
        Of::Operation {
            operation: *operation,
        },
        spent(operation.as_str(), usage),
        usage,
    )
}

fn of_provider((provider, usage): (&Provider, &Usage)) -> ListedGroup {
    listed(
        Of::Provider {
            provider: *provider,
        },
        spent(provider.as_str(), usage),
        usage,
    )
}

fn of_rules((key, group): (&String, &RuleGroup)) -> ListedGroup {
    let of = Of::Rule {
        rules: group.rules.clone(),
        model: group.model.clone(),
    };
    ListedGroup {
        display_name: group.display_name.clone(),
        ..listed(of, spent(key, &group.usage), &group.usage)
    }
}

fn of_subagent((key, group): (&String, &SubagentGroup)) -> ListedGroup {
    let (cascade, subagent) = group.id.clone().unzip();
    let of = Of::Subagent {
        kind: match group.id {
            Some(_) => SubagentKind::Subagent,
            None => SubagentKind::None,
        },
        cascade,
        subagent,
        parent_subagent: group.parent_subagent.clone(),
        subagent_kind: group.subagent_kind.clone(),
        model: group.model.clone(),
    };
    ListedGroup {
        display_name: group.display_name.clone(),
        ..listed(of, spent(key, &group.usage), &group.usage)
    }
}

fn of_week((week, usage): (&Period, &Usage)) -> ListedGroup {
    listed(Of::Week { week: week.clone() }, Place::of(week), usage)
}

fn listed(of: Of, place: Place, usage: &Usage) -> ListedGroup {
    ListedGroup {
        of,
        display_name: None,
        served_models: BTreeMap::new(),
        usage: usage.clone(),
        place,
    }
}
