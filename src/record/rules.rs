//! Rules that change requests: their names, and what one of them did to a request.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Model;
use super::label::label;

/// The name of a rule: letters, digits, `-`, `_` and `.`, so that it is safe as a label, in a URL and
/// in a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// A name is a label of metrics; longer ones are sentences.
    pub const MAX_BYTES: usize = 64;

    /// Accepts a name, refuses any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(is_safe);
        fits.then(|| Self(text.into()))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

label! {
    /// What a rule did to a request that it matches.
    pub enum RuleResult {
        /// It changed the request.
        Applied => "applied",
        /// It refused the request.
        Denied => "denied",
        /// It would have changed or refused the request, but is a dry run.
        DryRun => "dry_run",
        /// It could not be applied: the request went as it was, or was refused if the rule says so.
        ///
        /// What to do: `gravimeter rules try FILE REQUEST.json` with such a request says why.
        Failed => "failed",
        /// The request is signed, so that the provider would refuse it changed: it went as it was.
        ///
        /// What to do: let the agent use an API key instead of AWS credentials, or remove the rule.
        Signed => "signed",
        /// The body is larger than the rule reads: the request went as it was, or was refused if the
        /// rule says so.
        ///
        /// What to do: raise the rule's `max_body_mib`.
        TooLarge => "too_large",
        /// The request already is as the rule wants it, or has no place for what it sets.
        Unchanged => "unchanged",
    }
}

/// One rule that matched a request, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleUse {
    /// Which rule.
    pub rule: RuleName,
    /// What it did.
    pub result: RuleResult,
    /// Why it did not change the request, where something kept it from that. Names places in the
    /// request, never what stands there.
    pub reason: Option<String>,
}

/// The rules that changed a request on its way to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppliedRules {
    /// Their names, in the order in which they were applied; at least one.
    pub names: Vec<RuleName>,
    /// The model that the agent asked for, where a rule has put another one in its place.
    pub asked_model: Option<Model>,
}

impl AppliedRules {
    /// The names in one text, joined by `+`, which no name contains.
    #[must_use]
    pub fn joined(&self) -> String {
        let names: Vec<_> = self.names.iter().map(RuleName::as_str).collect();
        names.join("+")
    }

    /// Reads what [`AppliedRules::joined`] has written; `None` if a name is none.
    #[must_use]
    pub fn parse(joined: &str, asked_model: Option<Model>) -> Option<Self> {
        let names = joined.split('+').map(RuleName::parse);
        Some(Self {
            names: names.collect::<Option<_>>()?,
            asked_model,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_everywhere() {
        for good in ["a", "house-style", "v1.2_x", &"x".repeat(64)] {
            assert_eq!(RuleName::parse(good).expect("a name").as_str(), good);
        }
        for bad in ["", "a b", "a+b", "a\"", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(RuleName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let names = ["a", "b.c"].map(|name| RuleName::parse(name).expect("a name"));
        let applied = AppliedRules {
            names: names.to_vec(),
            asked_model: Some(Model::from_wire("m")),
        };
        assert_eq!(applied.joined(), "a+b.c");
        let read = AppliedRules::parse(&applied.joined(), applied.asked_model.clone());
        assert_eq!(read, Some(applied));
        assert_eq!(AppliedRules::parse("a+", None), None);
        assert_eq!(AppliedRules::parse("", None), None);
    }
}
