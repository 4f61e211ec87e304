//! What a budget is: a limit, a window, whose calls count, and at which shares something follows.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use super::amount::Amount;
use super::window::Window;
use crate::record::{
    Id, Label as _, ProgramName, RepositoryName, SessionId, Subject, label, matches_wildcard,
};

/// A budget, as it is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Its name, unique among all budgets.
    pub name: BudgetName,
    /// How much may be spent in a window.
    pub limit: Amount,
    /// For how long that is.
    pub window: Window,
    /// What has the limit for itself.
    pub by: GroupBy,
    /// The groups that are meant; all of them where there is none.
    pub only: Vec<NamePattern>,
    /// From which share on a warning is given, from 0 to 1.
    pub warn: f64,
    /// From which share on no new call is carried, from 0 to 1; `None` never stops.
    pub stop: Option<f64>,
    /// What holds while not everything could be counted.
    pub on_error: OnError,
    /// Whose hours, days, weeks and months are meant.
    pub zone: TimeZone,
}

label! {
    /// What has the limit of a budget for itself.
    pub enum GroupBy {
        /// All calls together.
        All => "all",
        /// Each model.
        Model => "model",
        /// Each program; calls of which it is not known do not count.
        Program => "program",
        /// Each provider.
        Provider => "provider",
        /// Each repository; calls of which it is not known do not count.
        Repository => "repository",
        /// Each session of `gravimeter run`; calls of none do not count.
        Session => "session",
        /// Each subagent; calls of the main agent do not count.
        Subagent => "subagent",
    }
}

label! {
    /// What holds while not everything could be counted.
    pub enum OnError {
        /// What was not counted is not spent.
        Open => "open",
        /// Nothing is left: calls are stopped.
        Closed => "closed",
    }
}

impl Budget {
    /// The name of the group in which a call counts; `None` where it counts in none.
    pub(super) fn name_of(&self, subject: &Subject) -> Option<String> {
        let name = match self.by {
            GroupBy::All => Some(""),
            GroupBy::Model => Some(subject.model.as_str()),
            GroupBy::Program => subject.program.as_ref().map(ProgramName::as_str),
            GroupBy::Provider => Some(subject.provider.as_str()),
            GroupBy::Repository => subject.repository.as_ref().map(RepositoryName::as_str),
            GroupBy::Session => subject.session.as_ref().map(SessionId::as_str),
            GroupBy::Subagent => subject.subagent.as_ref().map(Id::as_str),
        };
        name.filter(|name| self.is_meant(name)).map(str::to_owned)
    }

    /// Whether the group of that name has the limit.
    pub(super) fn is_meant(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(name))
    }
}

/// The name of a budget: a label of metrics, and an argument of commands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetName(String);

/// The text cannot be the name of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a name of a budget: write at most {} letters, digits, '-' and '_'",
    BudgetName::MAX_BYTES
)]
pub struct InvalidName;

impl BudgetName {
    /// Long enough for a description, short enough for a legend.
    pub const MAX_BYTES: usize = 64;

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BudgetName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = !text.is_empty() && text.len() <= Self::MAX_BYTES && text.bytes().all(is_plain);
        fits.then(|| Self(text.to_owned())).ok_or(InvalidName)
    }
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BudgetName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A pattern of names, in which a `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// A pattern; one without a `*` matches the name that it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the name is one of those that are meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches_wildcard(&self.0, name)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!("per-day_1".parse::<BudgetName>().is_ok());
        for bad in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
            assert_eq!(bad.parse::<BudgetName>(), Err(InvalidName), "{bad:?}");
        }
    }
}
