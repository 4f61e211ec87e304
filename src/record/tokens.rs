//! Token counts as an additive partition: the parts never overlap, so their sum is the total.

use serde::Serialize;

use super::label::{Label, label};

label! {
    /// One part of the partition.
    pub enum TokenKind {
        /// Input read from the provider's prompt cache.
        CacheRead => "cache_read",
        /// Input written to the provider's prompt cache.
        CacheWrite => "cache_write",
        /// Input that was not cached.
        Input => "input",
        /// Visible output.
        Output => "output",
        /// Reasoning the model did before or between its visible output.
        Thinking => "thinking",
        /// Input that tool results added on the provider's side.
        ToolInput => "tool_input",
    }
}

label! {
    /// How the provider's own total of a call's tokens compares with the parts that it reports.
    pub enum UsageTotal {
        /// No total was reported.
        Absent => "absent",
        /// The parts add up to it, in one of the meanings that are known for them.
        Agree => "agree",
        /// They do not.
        Disagree => "disagree",
    }
}

label! {
    /// How far the numbers of a call can be trusted.
    pub enum Quality {
        /// The provider's final figures were seen, and nothing contradicts them.
        Exact => "exact",
        /// Figures were seen, but the call was cut off after them (they are a lower bound), they
        /// contradict the provider's own total, or something was generated of which none of them
        /// tells.
        Partial => "partial",
        /// No figures were seen, or they could not be read.
        Unknown => "unknown",
    }
}

/// Tokens of one call, in tokens. `None` is "not reported", `Some(0)` is "reported as zero".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TokenUsage {
    /// Input that was not cached.
    pub input: Option<u64>,
    /// Input read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Input written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Input that tool results added on the provider's side.
    pub tool_input: Option<u64>,
    /// Visible output.
    pub output: Option<u64>,
    /// Reasoning tokens.
    pub thinking: Option<u64>,
}

impl TokenUsage {
    /// The most tokens of one kind that a call is believed to have, wherever the number comes from:
    /// 4 billion, 400 times the longest context window that any model offers. Six kinds of ten
    /// million such calls add up to less than 2^63, so that no sum in 64 bits overflows.
    pub const MAX_OF_A_KIND: u64 = 1 << 32;

    /// The part of the given kind.
    #[must_use]
    pub fn of(&self, kind: TokenKind) -> Option<u64> {
        match kind {
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite => self.cache_write,
            TokenKind::Input => self.input,
            TokenKind::Output => self.output,
            TokenKind::Thinking => self.thinking,
            TokenKind::ToolInput => self.tool_input,
        }
    }

    /// All parts in the order of [`TokenKind::ALL`]; what was not reported counts 0.
    #[must_use]
    pub fn in_order(&self) -> [u64; TokenKind::ALL.len()] {
        let mut parts = [0; TokenKind::ALL.len()];
        parts
            .iter_mut()
            .zip(TokenKind::ALL)
            .for_each(|(part, kind)| *part = self.of(*kind).unwrap_or(0));
        parts
    }

    /// The sum of all parts; saturates, since a provider may send any number.
    #[must_use]
    pub fn total(&self) -> u64 {
        TokenKind::ALL
            .iter()
            .filter_map(|kind| self.of(*kind))
            .fold(0, u64::saturating_add)
    }

    /// Whether no part was reported.
    #[must_use]
    pub fn is_unreported(&self) -> bool {
        *self == Self::default()
    }
}
