//! What is left of an account's quota, and how models are called for people.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::label::label;
use super::{Id, Model, Provider};

label! {
    /// What a quota is counted over, by the name that its provider gives it: the time after which it
    /// is full again, or the thing that is counted.
    #[derive(Default)]
    pub enum QuotaWindow {
        /// A day.
        Day => "1d",
        /// Five hours.
        FiveHours => "5h",
        /// Seven days, of a subscription of Anthropic.
        SevenDays => "7d",
        /// The same for models of the Opus class.
        SevenDaysOpus => "7d_opus",
        /// The same for models of the Sonnet class.
        SevenDaysSonnet => "7d_sonnet",
        /// Messages in the chat of GitHub Copilot, in a month.
        Chat => "chat",
        /// Input tokens, mostly in a minute.
        InputTokens => "input_tokens",
        /// Output tokens, mostly in a minute.
        OutputTokens => "output_tokens",
        /// What a subscription of Anthropic may spend beyond its plan.
        Overage => "overage",
        /// Premium requests of GitHub Copilot, in a month.
        PremiumInteractions => "premium_interactions",
        /// Requests of GitHub Copilot to premium models, in a month.
        PremiumModels => "premium_models",
        /// Requests, mostly in a minute.
        Requests => "requests",
        /// A session of GitHub Copilot, five hours.
        Session => "session",
        /// Tokens of all kinds, mostly in a minute.
        Tokens => "tokens",
        /// Not named.
        #[default]
        Unspecified => "unspecified",
        /// A week.
        Weekly => "weekly",
    }
}

impl QuotaWindow {
    /// Whether it limits the rate of calls and fills up again within minutes, unlike the quota of a
    /// plan.
    #[must_use]
    pub fn is_rate(self) -> bool {
        matches!(
            self,
            Self::InputTokens | Self::OutputTokens | Self::Requests | Self::Tokens
        )
    }
}

/// One reading of a quota.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// Whose.
    pub provider: Provider,
    /// The model it is for, or the group of models that shares it (`gemini`, `3p`), or
    /// [`Model::all`].
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
