//! Model names as labels: they come from the traffic, so they are normalised before they are used.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A normalised model name: printable ASCII without quotes and backslashes, at most
/// [`Model::MAX_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Model(Arc<str>);

impl Model {
    /// Longer names are cut: a label value of 10 kB would cost every scrape.
    pub const MAX_BYTES: usize = 128;

    /// Normalises a name from the wire: a `models/` prefix goes, every byte that could break an
    /// exposition format or a terminal becomes `_`, an empty name becomes [`Model::unknown`].
    #[must_use]
    pub fn from_wire(name: &str) -> Self {
        let name = name.trim();
        let name = name.strip_prefix("models/").unwrap_or(name);
        if name.is_empty() {
            return Self::unknown();
        }
        let is_clean = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`');
        if name.len() <= Self::MAX_BYTES && name.chars().all(is_clean) {
            return Self(name.into());
        }
        let clean = name
            .chars()
            .take(Self::MAX_BYTES)
            .map(|c| if is_clean(c) { c } else { '_' });
        Self(clean.collect::<String>().into())
    }

    /// The name for calls whose model is not known.
    #[must_use]
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// Stands for every model of an account together, where a quota is not of one alone.
    #[must_use]
    pub fn all() -> Self {
        Self("all".into())
    }

    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_harmless_labels() {
        assert_eq!(
            Model::from_wire("gemini-3-pro-high").as_str(),
            "gemini-3-pro-high"
        );
        assert_eq!(
            Model::from_wire("models/gemini-2.5-flash").as_str(),
            "gemini-2.5-flash"
        );
        assert_eq!(Model::from_wire("  ").as_str(), "unknown");
        assert_eq!(
            Model::from_wire("a\"b\\c\nd\u{202e}é").as_str(),
            "a_b_c_d__"
        );
        assert_eq!(
            Model::from_wire(&"x".repeat(10_000)).as_str().len(),
            Model::MAX_BYTES
        );
    }
}
