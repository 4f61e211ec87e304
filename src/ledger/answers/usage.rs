//! The figures that every group of an answer has.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::ledger::memory::sums::Sums;
use crate::record::{Cost, Outcome, PerKind, Quality};

/// The calls and tokens of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Calls that ended, however they ended.
    pub calls: u64,
    /// Tokens by kind; in JSON a field for each public name, such as `input_tokens`.
    #[serde(flatten, serialize_with = "token_fields")]
    pub tokens: PerKind<u64>,
    /// The sum of all kinds, which do not overlap.
    pub total_tokens: u64,
    /// What the calls that have a price cost at list prices, each at that of the day on which it
    /// began; `null` where none has one, though there are tokens.
    #[serde(rename = "cost_usd")]
    pub cost: Option<Cost>,
    /// Calls whose tokens have no known price: the cost is without them.
    pub unpriced_calls: u64,
    /// Calls by how far their tokens can be trusted.
    pub usage_quality: QualityCounts,
    /// Calls by how they ended; an outcome that did not happen is left out.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Whether a figure has reached the largest number that the ledger's file or this answer can
    /// hold: figures are lower bounds then. Left out where it is not so.
    #[serde(skip_serializing_if = "is_false")]
    pub saturated: bool,
}

/// Calls by how far their tokens can be trusted; the sum is the number of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QualityCounts {
    /// The provider's final figures were seen.
    pub exact: u64,
    /// Cut off after figures had been seen: a lower bound.
    pub partial: u64,
    /// No figures were seen.
    pub unknown: u64,
}

impl Usage {
    /// What of it is not in `before`, which is a part of it.
    #[must_use]
    pub fn without(&self, before: &Self) -> Self {
        let rest = |count: u64, part: u64| count.saturating_sub(part);
        let (quality, known) = (self.usage_quality, before.usage_quality);
        let outcomes = self.outcomes.iter().map(|(outcome, calls)| {
            let part = before.outcomes.get(outcome).copied();
            (*outcome, rest(*calls, part.unwrap_or_default()))
        });
        Self {
            calls: rest(self.calls, before.calls),
            tokens: PerKind::from_fn(|kind| rest(self.tokens[kind], before.tokens[kind])),
            total_tokens: rest(self.total_tokens, before.total_tokens),
            cost: self
                .cost
                .map(|cost| cost.saturating_sub(before.cost.unwrap_or_default())),
            unpriced_calls: rest(self.unpriced_calls, before.unpriced_calls),
            usage_quality: QualityCounts {
                exact: rest(quality.exact, known.exact),
                partial: rest(quality.partial, known.partial),
                unknown: rest(quality.unknown, known.unknown),
            },
            outcomes: outcomes.filter(|(_, calls)| *calls > 0).collect(),
            saturated: self.saturated || before.saturated,
        }
    }
}

impl From<&Sums> for Usage {
    fn from(sums: &Sums) -> Self {
        Self {
            calls: sums.calls(),
            tokens: PerKind::from_fn(|kind| shown(sums.tokens()[kind])),
            total_tokens: shown(sums.total_tokens()),
            cost: sums.cost().map(shown).map(Cost::from_nano_usd),
            unpriced_calls: sums.unpriced(),
            usage_quality: QualityCounts {
                exact: sums.quality(Quality::Exact),
                partial: sums.quality(Quality::Partial),
                unknown: sums.quality(Quality::Unknown),
            },
            outcomes: sums.outcomes().collect(),
            saturated: sums.is_saturated(),
        }
    }
}

fn shown(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(it: &bool) -> bool {
    !it
}

fn token_fields<S: Serializer>(tokens: &PerKind<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let fields = tokens.by_public_name();
    serializer.collect_map(fields.map(|(name, count)| (format!("{name}_tokens"), count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{TokenKind, TokenUsage};

    #[test]
    fn what_a_part_leaves_is_the_rest() {
        let of = |tokens: u64, cost: Option<u64>, outcome| {
            let tokens = TokenUsage::default().with(TokenKind::Output, tokens);
            let cost = cost.map(Cost::from_nano_usd);
            Sums::of(&tokens, Quality::Exact, outcome, cost)
        };
        let (before, after) = (
            of(5, Some(7), Outcome::Ok),
            of(3, Some(2), Outcome::Aborted),
        );
        let mut all = before.clone();
        all.add(&after);
        let [before, after, all] = [before, after, all].map(|sums| Usage::from(&sums));
        assert_eq!(all.without(&before), after);
        assert_eq!(all.without(&Usage::default()), all);
        assert_eq!(all.without(&all).calls, 0);
    }

    fn huge() -> Sums {
        let usage = TokenUsage::default()
            .with(TokenKind::Input, u64::MAX)
            .with(TokenKind::Output, u64::MAX);
        Sums::of(
            &usage,
            Quality::Exact,
            Outcome::Ok,
            Some(Cost::from_nano_usd(u64::MAX)),
        )
    }

    #[test]
    fn what_was_added_can_be_taken_away_beyond_64_bits() {
        let seven = TokenUsage::default().with(TokenKind::Input, 7);
        let small = Sums::of(&seven, Quality::Partial, Outcome::Aborted, None);
        let mut sums = small.clone();
        (0..3).for_each(|_| sums.add(&huge()));
        assert!(Usage::from(&sums).saturated);
        assert_eq!(Usage::from(&sums).tokens[TokenKind::Input], u64::MAX);
        (0..3).for_each(|_| sums.take_away(&huge()));
        assert_eq!(sums, small);
        sums.take_away(&small);
        assert!(sums.is_empty());
    }

    #[test]
    fn a_cost_is_told_unless_all_of_it_is_unknown() {
        let shown = |calls: &[(u64, Option<u64>)]| {
            let mut sums = Sums::default();
            for (tokens, cost) in calls {
                let usage = TokenUsage::default().with(TokenKind::Output, *tokens);
                sums.add(&Sums::of(
                    &usage,
                    Quality::Exact,
                    Outcome::Ok,
                    cost.map(Cost::from_nano_usd),
                ));
            }
            let usage = Usage::from(&sums);
            (usage.cost.map(Cost::nano_usd), usage.unpriced_calls)
        };
        assert_eq!(shown(&[]), (Some(0), 0));
        assert_eq!(shown(&[(0, None)]), (Some(0), 0), "no tokens cost nothing");
        assert_eq!(shown(&[(1, None), (0, None)]), (None, 1));
        assert_eq!(
            shown(&[(1, None), (2, Some(5)), (3, Some(7))]),
            (Some(12), 1)
        );
    }

    #[test]
    fn shown_sums_saturate_and_leave_out_what_did_not_happen() {
        let usage = Usage::from(&huge());
        assert_eq!(
            (
                usage.calls,
                usage.tokens[TokenKind::Input],
                usage.total_tokens
            ),
            (1, u64::MAX, u64::MAX)
        );
        assert_eq!(
            usage.outcomes.into_iter().collect::<Vec<_>>(),
            [(Outcome::Ok, 1)]
        );
        assert_eq!(
            usage.usage_quality,
            QualityCounts {
                exact: 1,
                ..QualityCounts::default()
            }
        );
        assert!(usage.saturated);
    }
}
