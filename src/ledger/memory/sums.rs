//! Exact sums of calls and tokens: what was added can be taken away again, and every grouping adds
//! up to the same totals.
//!
//! Sums of tokens and costs are 128 bits wide, so that no number of calls makes them overflow, and
//! saturate only where they are shown. Those that are read from the file may have reached the
//! largest number that it holds. Either way they say so.

use std::collections::BTreeMap;

use super::figures::{Figures, is_lower_bound};
use crate::record::{
    CallGroup, Cost, Label, Model, Outcome, PerKind, Provider, Quality, TokenUsage,
};

/// A model as one provider serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct Served {
    /// The requested model, or the one name of all that have none of their own.
    pub(in crate::ledger) model: Model,
    pub(in crate::ledger) provider: Provider,
}

/// The sums of a group, apart by model; there is an entry for each model that has calls. In boxes:
/// a node of the map has room for eleven, and a thousand conversations have one or two each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ledger) struct ByModel(pub(in crate::ledger) BTreeMap<Served, Box<Sums>>);

impl ByModel {
    pub(in crate::ledger) fn add(&mut self, served: &Served, sums: &Sums) {
        match self.0.get_mut(served) {
            Some(known) => known.add(sums),
            None => _ = self.0.insert(served.clone(), Box::new(sums.clone())),
        }
    }

    /// Takes away what was added before.
    pub(in crate::ledger) fn take_away(&mut self, served: &Served, sums: &Sums) {
        let Some(known) = self.0.get_mut(served) else {
            return;
        };
        known.take_away(sums);
        if known.is_empty() {
            self.0.remove(served);
        }
    }

    pub(in crate::ledger) fn iter(&self) -> impl Iterator<Item = (&Served, &Sums)> {
        self.0.iter().map(|(served, sums)| (served, &**sums))
    }

    pub(in crate::ledger) fn merge(&mut self, other: &Self) {
        other
            .iter()
            .for_each(|(served, sums)| self.add(served, sums));
    }

    pub(in crate::ledger) fn total(&self) -> Sums {
        let mut total = Sums::default();
        self.0.values().for_each(|sums| total.add(sums));
        total
    }

    /// The model that most tokens went to: a conversation's own rather than that of its hidden
    /// calls.
    pub(in crate::ledger) fn main(&self) -> Option<&Served> {
        let most = self
            .0
            .iter()
            .max_by_key(|(_, sums)| (sums.total_tokens(), sums.calls()));
        most.map(|(served, _)| served)
    }
}

/// Calls and tokens of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Sums {
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
    pub(in crate::ledger) fn of(
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
    pub(in crate::ledger) fn of_file(
        figures: &Figures,
        quality: Quality,
        outcome: Outcome,
    ) -> Self {
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

    pub(in crate::ledger) fn add(&mut self, other: &Self) {
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
    pub(in crate::ledger) fn take_away(&mut self, other: &Self) {
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
    pub(in crate::ledger) fn is_empty(&self) -> bool {
        self.calls() == 0
    }

    pub(in crate::ledger) fn calls(&self) -> u64 {
        self.outcomes.iter().copied().fold(0, u64::saturating_add)
    }

    pub(in crate::ledger) fn total_tokens(&self) -> u128 {
        self.tokens.iter().map(|(_, tokens)| tokens).sum()
    }

    /// Nothing is what a group without tokens costs; what a group without prices costs is not
    /// known. In nano-USD.
    pub(in crate::ledger) fn cost(&self) -> Option<u128> {
        (self.priced > 0 || self.unpriced == 0).then_some(self.cost)
    }

    pub(in crate::ledger) fn tokens(&self) -> &PerKind<u128> {
        &self.tokens
    }

    /// Calls that have tokens and no price.
    pub(in crate::ledger) fn unpriced(&self) -> u64 {
        self.unpriced
    }

    /// Calls by how they ended; an outcome that did not happen is left out.
    pub(in crate::ledger) fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let outcomes = Outcome::ALL.iter().copied().zip(self.outcomes);
        outcomes.filter(|(_, calls)| *calls > 0)
    }

    /// Whether a figure is larger than what can be kept or shown.
    pub(in crate::ledger) fn is_saturated(&self) -> bool {
        self.is_lower_bound
            || [self.total_tokens(), self.cost]
                .into_iter()
                .any(|sum| sum > u64::MAX.into())
    }

    pub(in crate::ledger) fn quality(&self, quality: Quality) -> u64 {
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
