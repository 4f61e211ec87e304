//! Exact sums of calls and tokens: what was added can be taken away again, and every grouping adds
//! up to the same totals.
//!
//! Sums of tokens and costs are 128 bits wide, so that no number of calls makes them overflow, and
//! saturate only where they are shown. Those that are read from the file may have reached the
//! largest number that it holds. Either way they say so.

use std::collections::BTreeMap;

use super::columns::Figures;
use super::report::{QualityCounts, Usage};
use super::saturate::is_lower_bound;
use crate::record::{
    CallGroup, Cost, Label, Model, Outcome, PerKind, Provider, Quality, TokenUsage,
};

/// A model as one provider serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Served {
    /// The requested model, or the one name of all that have none of their own.
    pub(super) model: Model,
    pub(super) provider: Provider,
}

/// The sums of a group, apart by model; there is an entry for each model that has calls. In boxes:
/// a node of the map has room for eleven, and a thousand conversations have one or two each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ByModel(pub(super) BTreeMap<Served, Box<Sums>>);

impl ByModel {
    pub(super) fn add(&mut self, served: &Served, sums: &Sums) {
        match self.0.get_mut(served) {
            Some(known) => known.add(sums),
            None => _ = self.0.insert(served.clone(), Box::new(sums.clone())),
        }
    }

    /// Takes away what was added before.
    pub(super) fn take_away(&mut self, served: &Served, sums: &Sums) {
        let Some(known) = self.0.get_mut(served) else {
            return;
        };
        known.take_away(sums);
        if known.is_empty() {
            self.0.remove(served);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Served, &Sums)> {
        self.0.iter().map(|(served, sums)| (served, &**sums))
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other
            .iter()
            .for_each(|(served, sums)| self.add(served, sums));
    }

    pub(super) fn total(&self) -> Sums {
        let mut total = Sums::default();
        self.0.values().for_each(|sums| total.add(sums));
        total
    }

    /// The model that most tokens went to: a conversation's own rather than that of its hidden
    /// calls.
    pub(super) fn main(&self) -> Option<&Served> {
        let most = self
            .0
            .iter()
            .max_by_key(|(_, sums)| (sums.total_tokens(), sums.calls()));
        most.map(|(served, _)| served)
    }
}

/// Calls and tokens of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    tokens: PerKind<u128>,
    /// In the order of [`Quality::ALL`].
    qualities: [u64; Quality::ALL.len()],
    /// In the order of [`Outcome::ALL`].
    outcomes: [u64; Outcome::ALL.len()],
    /// Of the calls that have a price, in nano-USD.
    cost: u128,
    /// Calls that have one.
    priced: u64,
    /// Calls that have tokens and none.
    unpriced: u64,
    /// Whether part of it was read from a file whose sum was too large to be kept.
    is_lower_bound: bool,
}

impl Sums {
    /// The sums of one call.
    pub(super) fn of(
        usage: &TokenUsage,
        quality: Quality,
        outcome: Outcome,
        cost: Option<Cost>,
    ) -> Self {
        let mut one = Self::default();
        one.tokens
            .merge(&usage.counts(), |sum, tokens| *sum = tokens.into());
        one.qualities
            .iter_mut()
            .zip(Quality::ALL)
            .for_each(|(sum, of)| *sum = u64::from(*of == quality));
        one.outcomes
            .iter_mut()
            .zip(Outcome::ALL)
            .for_each(|(sum, of)| *sum = u64::from(*of == outcome));
        one.cost = cost.map_or(0, Cost::nano_usd).into();
        one.priced = cost.is_some().into();
        one.unpriced = (cost.is_none() && usage.total() > 0).into();
        one
    }

    /// Of calls in the file that are alike.
    pub(super) fn of_file(figures: &Figures, quality: Quality, outcome: Outcome) -> Self {
        let Figures {
            calls,
            tokens,
            priced_calls,
            unpriced_calls,
            cost,
        } = *figures;
        let mut sums = Self {
            tokens: PerKind::from_fn(|kind| tokens[kind].into()),
            cost: cost.nano_usd().into(),
            priced: priced_calls,
            unpriced: unpriced_calls,
            ..Self::default()
        };
        sums.qualities
            .iter_mut()
            .zip(Quality::ALL)
            .for_each(|(sum, of)| *sum = if *of == quality { calls } else { 0 });
        sums.outcomes
            .iter_mut()
            .zip(Outcome::ALL)
            .for_each(|(sum, of)| *sum = if *of == outcome { calls } else { 0 });
        let figures = [calls, priced_calls, unpriced_calls, cost.nano_usd()];
        let tokens = tokens.iter().map(|(_, tokens)| *tokens);
        sums.is_lower_bound = figures.into_iter().chain(tokens).any(is_lower_bound);
        sums
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.tokens.merge(&other.tokens, |sum, more| *sum += more);
        self.qualities
            .iter_mut()
            .zip(other.qualities)
            .for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.outcomes
            .iter_mut()
            .zip(other.outcomes)
            .for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.cost += other.cost;
        self.priced = self.priced.saturating_add(other.priced);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        self.is_lower_bound |= other.is_lower_bound;
    }

    /// Takes away what was added before.
    pub(super) fn take_away(&mut self, other: &Self) {
        self.tokens
            .merge(&other.tokens, |sum, less| *sum = sum.saturating_sub(less));
        self.qualities
            .iter_mut()
            .zip(other.qualities)
            .for_each(|(sum, less)| *sum = sum.saturating_sub(less));
        self.outcomes
            .iter_mut()
            .zip(other.outcomes)
            .for_each(|(sum, less)| *sum = sum.saturating_sub(less));
        self.cost = self.cost.saturating_sub(other.cost);
        self.priced = self.priced.saturating_sub(other.priced);
        self.unpriced = self.unpriced.saturating_sub(other.unpriced);
    }

    /// Whether no call is left.
    pub(super) fn is_empty(&self) -> bool {
        self.calls() == 0
    }

    pub(super) fn calls(&self) -> u64 {
        self.outcomes.iter().copied().fold(0, u64::saturating_add)
    }

    pub(super) fn total_tokens(&self) -> u128 {
        self.tokens.iter().map(|(_, tokens)| tokens).sum()
    }

    /// Nothing is what a group without tokens costs; what a group without prices costs is not
    /// known.
    fn cost(&self) -> Option<Cost> {
        (self.priced > 0 || self.unpriced == 0).then(|| Cost::from_nano_usd(shown(self.cost)))
    }

    /// Whether a figure is larger than what can be kept or shown.
    fn is_saturated(&self) -> bool {
        self.is_lower_bound
            || [self.total_tokens(), self.cost]
                .into_iter()
                .any(|sum| sum > u64::MAX.into())
    }

    fn quality(&self, quality: Quality) -> u64 {
        let mut sums = self.qualities.iter().zip(Quality::ALL);
        sums.find(|(_, of)| **of == quality)
            .map_or(0, |(sum, _)| *sum)
    }
}

impl From<&CallGroup> for Sums {
    fn from(group: &CallGroup) -> Self {
        let figures = Figures {
            calls: group.calls,
            tokens: group.tokens,
            priced_calls: group.priced_calls,
            unpriced_calls: group.unpriced_calls,
            cost: group.cost,
        };
        Self::of_file(&figures, group.quality, group.outcome)
    }
}

impl From<&Sums> for Usage {
    fn from(sums: &Sums) -> Self {
        let outcomes = Outcome::ALL
            .iter()
            .copied()
            .zip(sums.outcomes)
            .filter(|(_, calls)| *calls > 0);
        Self {
            calls: sums.calls(),
            tokens: PerKind::from_fn(|kind| shown(sums.tokens[kind])),
            total_tokens: shown(sums.total_tokens()),
            cost: sums.cost(),
            unpriced_calls: sums.unpriced,
            usage_quality: QualityCounts {
                exact: sums.quality(Quality::Exact),
                partial: sums.quality(Quality::Partial),
                unknown: sums.quality(Quality::Unknown),
            },
            outcomes: outcomes.collect(),
            saturated: sums.is_saturated(),
        }
    }
}

fn shown(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TokenKind;

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
