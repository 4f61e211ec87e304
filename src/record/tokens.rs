//! Token counts as an additive partition: the parts never overlap, so their sum is the total.

use std::ops::{Index, IndexMut};

use serde::{Serialize, Serializer};

use super::label::{Label, label};

label! {
    /// One part of the partition. The order is that of columns, everywhere.
    ///
    /// The one list of kinds: the columns of the ledger, the JSON, the CSV, the tables, the page and
    /// the labels of the metrics are made from it. A further kind is a line here, its place in
    /// [`TokenKind::INPUT`] or [`TokenKind::OUTPUT`], and a migration of the ledger's file.
    pub enum TokenKind {
        /// Input that was not cached.
        Input => "input",
        /// Input read from the provider's prompt cache.
        CacheRead => "cache_read",
        /// Input written to the provider's prompt cache for less than an hour (Anthropic: five
        /// minutes, OpenAI: thirty), or for a time that is not reported.
        CacheWrite5m => "cache_write_5m",
        /// Input written to the provider's prompt cache for an hour or more (Anthropic: one hour,
        /// OpenAI: twelve), which has a price of its own.
        CacheWrite1h => "cache_write_1h",
        /// Input that tool results added on the provider's side.
        ToolInput => "tool_input",
        /// Visible output.
        Output => "output",
        /// Reasoning the model did before or between its visible output.
        Thinking => "thinking",
    }
}

impl TokenKind {
    /// The kinds of input.
    pub const INPUT: &'static [Self] = &[
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::ToolInput,
    ];
    /// Input written to a cache, whatever its lifetime there.
    pub const CACHE_WRITES: &'static [Self] = &[Self::CacheWrite5m, Self::CacheWrite1h];
    /// The kinds of output.
    pub const OUTPUT: &'static [Self] = &[Self::Output, Self::Thinking];

    /// The name in metrics, JSON, CSV and price tables. Cache writes share one whatever their
    /// lifetime, since most providers report none; only the ledger's file keeps them apart.
    #[must_use]
    pub fn public_name(self) -> &'static str {
        match self {
            Self::CacheWrite5m | Self::CacheWrite1h => "cache_write",
            kind => kind.as_str(),
        }
    }

    /// Every public name once, in order.
    pub fn public_names() -> impl Iterator<Item = &'static str> {
        let is_first = |place: usize, name: &str| {
            !Self::ALL
                .iter()
                .take(place)
                .any(|kind| kind.public_name() == name)
        };
        let names = Self::ALL.iter().map(|kind| kind.public_name()).enumerate();
        names
            .filter(move |(place, name)| is_first(*place, name))
            .map(|(_, name)| name)
    }
}

/// One value for each kind of token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerKind<T>([T; TokenKind::ALL.len()]);

impl<T> PerKind<T> {
    /// A value made for each kind.
    #[expect(clippy::indexing_slicing, reason = "there are as many places as kinds")]
    pub fn from_fn(mut value: impl FnMut(TokenKind) -> T) -> Self {
        Self(std::array::from_fn(|place| value(TokenKind::ALL[place])))
    }

    /// The values with their kinds, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TokenKind, &T)> {
        TokenKind::ALL.iter().copied().zip(&self.0)
    }

    /// Changes each value by the one that `other` has for the same kind.
    pub fn merge<U: Copy>(&mut self, other: &PerKind<U>, mut change: impl FnMut(&mut T, U)) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(value, other)| change(value, other));
    }
}

impl<T> Index<TokenKind> for PerKind<T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "each kind has a place")]
    fn index(&self, kind: TokenKind) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<TokenKind> for PerKind<T> {
    #[expect(clippy::indexing_slicing, reason = "each kind has a place")]
    fn index_mut(&mut self, kind: TokenKind) -> &mut T {
        &mut self.0[kind as usize]
    }
}

impl PerKind<u64> {
    /// The tokens of some kinds together; saturates.
    #[must_use]
    pub fn sum(&self, kinds: &[TokenKind]) -> u64 {
        kinds
            .iter()
            .fold(0, |sum, kind| sum.saturating_add(self[*kind]))
    }

    /// The tokens under each public name, in order.
    pub fn by_public_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TokenKind::public_names().map(|name| {
            let same = self.iter().filter(|(kind, _)| kind.public_name() == name);
            (
                name,
                same.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count)),
            )
        })
    }
}

label! {
    /// How the provider's own total of a call's tokens compares with the parts that it reports.
    #[derive(Default)]
    pub enum UsageTotal {
        /// No total was reported.
        ///
        /// What to do: nothing: the documented meaning of the counts is used.
        #[default]
        Absent => "absent",
        /// The parts add up to it, in one of the meanings that are known for them.
        Agree => "agree",
        /// They do not.
        ///
        /// What to do: report it with the provider and model: a new kind of tokens, or a new
        /// meaning of an old one.
        Disagree => "disagree",
    }
}

label! {
    /// How far the numbers of a call can be trusted.
    pub enum Quality {
        /// The provider's final figures were seen, and nothing contradicts them.
        Exact => "exact",
        /// Figures were seen, but the call was cut off after them (they are a lower bound), they
        /// contradict the provider's own total, or something was generated that none of them
        /// counts.
        ///
        /// What to do: count its sums as lower bounds; see `gravimeter_calls_total` for calls that
        /// were cut off.
        Partial => "partial",
        /// No figures were seen, or they could not be read.
        ///
        /// What to do: nothing where calls were refused. Otherwise see
        /// `gravimeter_observer_failures_total`, and whether the agent asks for usage in streams.
        Unknown => "unknown",
    }
}

/// Tokens of one call, in tokens. `None` is "not reported", `Some(0)` is "reported as zero".
pub type TokenUsage = PerKind<Option<u64>>;

impl TokenUsage {
    /// The most tokens of one kind that a call is believed to have, wherever the number comes from:
    /// 4 billion, 400 times the longest context window that any model offers. All kinds of ten
    /// million such calls add up to less than 2^63, so that no sum in 64 bits overflows.
    pub const MAX_OF_A_KIND: u64 = 1 << 32;

    /// The same, with a count of one kind.
    #[must_use]
    pub fn with(mut self, kind: TokenKind, count: impl Into<Option<u64>>) -> Self {
        self[kind] = count.into();
        self
    }

    /// The counts; what was not reported counts 0.
    #[must_use]
    pub fn counts(&self) -> PerKind<u64> {
        PerKind::from_fn(|kind| self[kind].unwrap_or(0))
    }

    /// The sum of some kinds, `None` where none of them was reported; saturates.
    #[must_use]
    pub fn sum_of(&self, kinds: &[TokenKind]) -> Option<u64> {
        let reported = kinds.iter().filter_map(|kind| self[*kind]);
        reported.reduce(u64::saturating_add)
    }

    /// The sum of all parts; saturates, since a provider may send any number.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sum_of(TokenKind::ALL).unwrap_or(0)
    }

    /// Whether no part was reported.
    #[must_use]
    pub fn is_unreported(&self) -> bool {
        *self == Self::default()
    }
}

/// An object with a field for each public name; `null` is "not reported".
impl Serialize for TokenUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(TokenKind::public_names().map(|name| {
            let same = TokenKind::ALL
                .iter()
                .filter(|kind| kind.public_name() == name);
            let reported = same.filter_map(|kind| self[*kind]);
            (name, reported.reduce(u64::saturating_add))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_of_its_own_and_is_input_or_output() {
        let numbers = PerKind::from_fn(|kind| kind as usize);
        for (place, kind) in TokenKind::ALL.iter().enumerate() {
            assert_eq!(numbers[*kind], place);
            let sides = [TokenKind::INPUT, TokenKind::OUTPUT];
            let sides = sides.into_iter().filter(|side| side.contains(kind));
            assert_eq!(sides.count(), 1, "{kind}");
        }
    }

    #[test]
    fn cache_writes_share_a_public_name() {
        let names: Vec<_> = TokenKind::public_names().collect();
        let expected = [
            "input",
            "cache_read",
            "cache_write",
            "tool_input",
            "output",
            "thinking",
        ];
        assert_eq!(names, expected);
        let usage = TokenUsage::default()
            .with(TokenKind::CacheWrite5m, 3)
            .with(TokenKind::CacheWrite1h, 4);
        assert_eq!(
            usage.counts().by_public_name().nth(2),
            Some(("cache_write", 7))
        );
        let json = serde_json::to_string(&usage).unwrap();
        let expected = r#"{"input":null,"cache_read":null,"cache_write":7,"tool_input":null,"output":null,"thinking":null}"#;
        assert_eq!(json, expected);
    }
}
