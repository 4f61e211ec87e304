//! What is left of an account's quota, and how models are called for people.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::label::label;
use super::{Id, Model, Provider};

label! {
    /// The time after which a quota is full again.
    #[derive(Default)]
    pub enum QuotaWindow {
        /// A day.
        Day => "1d",
        /// Five hours.
        FiveHours => "5h",
        /// Not named.
        #[default]
        Unspecified => "unspecified",
        /// A week.
        Weekly => "weekly",
    }
}

/// One reading of a quota.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// Whose.
    pub provider: Provider,
    /// The model it is for, or the group of models that shares it (`gemini`, `3p`).
    pub model: Model,
    /// The window.
    pub window: QuotaWindow,
    /// What is left, from 0 to 1.
    pub remaining: f64,
    /// When it is full again.
    pub resets_at: Option<SystemTime>,
}

/// What people call a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// Who serves it.
    pub provider: Provider,
    /// The model on the wire.
    pub model: Model,
    /// What people read in the agent.
    pub display: DisplayName,
    /// The language server's own number for it (`MODEL_PLACEHOLDER_M132`); reassigned from time to
    /// time.
    pub placeholder: Option<Id>,
}

/// A short text for people: printable, at most [`DisplayName::MAX_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DisplayName(Arc<str>);

impl DisplayName {
    /// Longer names are cut: the longest known has 31.
    pub const MAX_BYTES: usize = 64;

    /// Normalises a name from outside: what could break an exposition format or a terminal becomes
    /// `_`; `None` when nothing is left.
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        let clean = name.trim().chars().take(Self::MAX_BYTES).map(|c| match c {
            '"' | '\\' => '_',
            c if c == ' ' || c.is_ascii_graphic() => c,
            _ => '_',
        });
        let clean: String = clean.collect();
        (!clean.is_empty()).then(|| Self(clean.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for DisplayName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_people_are_harmless() {
        let name = |text| DisplayName::from_wire(text).map(|name| name.to_string());
        assert_eq!(
            name("  Gemini 3.1 Pro (High) ").as_deref(),
            Some("Gemini 3.1 Pro (High)")
        );
        assert_eq!(name("a\"b\\c\nd\u{1b}").as_deref(), Some("a_b_c_d_"));
        assert_eq!(name(" \n"), None);
        assert_eq!(
            name(&"x".repeat(1000)).map(|name| name.len()),
            Some(DisplayName::MAX_BYTES)
        );
    }
}
