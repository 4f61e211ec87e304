//! Groups of a report by who calls: by session, program, repository or branch.

use std::collections::BTreeMap;

use serde::Serialize;

use super::usage::Usage;
use crate::ledger::file::callers::FoundCaller;
use crate::ledger::file::grouping::By;
use crate::ledger::memory::models::Names;
use crate::ledger::memory::sums::ByModel;
use crate::record::{Caller, DisplayName, Model, label};

/// A caller's group of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerGroup {
    /// Who calls, as far as the grouping tells callers apart; `None` is everybody else.
    #[serde(flatten)]
    pub caller: Option<Caller>,
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

label! {
    /// What the calls of a group have in common, where groups are callers.
    pub enum CallerKind {
        /// The branch of a repository.
        Branch => "branch",
        /// The program that calls.
        Program => "program",
        /// The repository that the program works in.
        Repository => "repository",
        /// The session that the program runs in.
        Session => "session",
        /// Nothing: it is not known, or not kept apart any more.
        Unknown => "unknown",
    }
}

impl CallerKind {
    /// What a grouping tells callers apart by; `None` for a grouping of something else.
    pub(super) fn of(by: By) -> Option<Self> {
        match by {
            By::Branch => Some(Self::Branch),
            By::Program => Some(Self::Program),
            By::Repository => Some(Self::Repository),
            By::Session => Some(Self::Session),
            By::Cascade
            | By::Day
            | By::Hour
            | By::Model
            | By::Month
            | By::Operation
            | By::Provider
            | By::Rule
            | By::Subagent
            | By::Week => None,
        }
    }

    /// The key of a caller's group. A name that reads like the key of all others is marked.
    fn key(self, caller: &Caller) -> String {
        let Caller {
            session,
            program,
            repository,
            branch,
        } = caller;
        let name = match self {
            Self::Session => session.as_ref().map(ToString::to_string),
            Self::Program => program.as_ref().map(ToString::to_string),
            Self::Repository => repository.as_ref().map(ToString::to_string),
            // Neither holds a space.
            Self::Branch => repository.as_ref().map(|repository| match branch {
                Some(branch) => format!("{repository} {branch}"),
                None => repository.to_string(),
            }),
            Self::Unknown => None,
        };
        match name {
            Some(name) if name == UNKNOWN => format!("{self}/{name}"),
            Some(name) => name,
            None => UNKNOWN.to_owned(),
        }
    }
}

/// Groups by caller, and one of all other calls where there are any.
pub(super) fn by_caller(
    kind: CallerKind,
    found: &[FoundCaller],
    other: &ByModel,
    names: &Names,
) -> BTreeMap<String, CallerGroup> {
    let group = |found: &FoundCaller| {
        let key = kind.key(&found.caller);
        (
            key,
            CallerGroup::new(Some(&found.caller), &found.sums, names),
        )
    };
    let rest =
        (!other.0.is_empty()).then(|| (UNKNOWN.to_owned(), CallerGroup::new(None, other, names)));
    found.iter().map(group).chain(rest).collect()
}

impl CallerGroup {
    fn new(caller: Option<&Caller>, sums: &ByModel, names: &Names) -> Self {
        let main = sums.main();
        Self {
            caller: caller.cloned(),
            model: main.map(|served| served.model.clone()),
            display_name: main.and_then(|served| names.of(served)).cloned(),
            usage: Usage::from(&sums.total()),
        }
    }
}

/// The key of calls of which the caller is not known.
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BranchName, ProgramName, RepositoryName};

    #[test]
    fn no_two_callers_share_a_key() {
        let program = |name| Caller {
            program: ProgramName::new(name),
            ..Caller::default()
        };
        let key = |name| CallerKind::Program.key(&program(name));
        assert_eq!(key("claude"), "claude");
        assert_ne!(key("unknown"), CallerKind::Program.key(&Caller::default()));
        let branch = |repository, branch: &str| {
            CallerKind::Branch.key(&Caller {
                repository: RepositoryName::new(repository),
                branch: BranchName::new(branch),
                ..Caller::default()
            })
        };
        let keys = [
            branch("a", ""),
            branch("a", "b"),
            branch("a b", ""),
            branch("a", "b c"),
            branch("unknown", ""),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    }
}
