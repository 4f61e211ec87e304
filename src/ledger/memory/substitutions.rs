//! Calls that another model has answered than the one that was asked for, counted by both.

use std::collections::BTreeMap;

use super::sums::Served;
use crate::record::Model;

/// Calls by the model that was asked for and the one that answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Substitutions(BTreeMap<Served, BTreeMap<Model, u64>>);

impl Substitutions {
    /// Counts calls that asked for one model and were answered by another.
    pub(in crate::ledger) fn add(&mut self, asked: &Served, answered: &Model, calls: u64) {
        let models = self.0.entry(asked.clone()).or_default();
        let sum = models.entry(answered.clone()).or_default();
        *sum = sum.saturating_add(calls);
    }

    /// Takes away a call that was counted before.
    pub(in crate::ledger) fn take_away(&mut self, asked: &Served, answered: &Model) {
        let Some(models) = self.0.get_mut(asked) else {
            return;
        };
        if let Some(calls) = models.get_mut(answered) {
            *calls = calls.saturating_sub(1);
        }
        models.retain(|_, calls| *calls > 0);
        if models.is_empty() {
            self.0.remove(asked);
        }
    }

    /// The models that have answered instead of one, with the calls of each.
    pub(in crate::ledger) fn of(&self, asked: &Served) -> BTreeMap<Model, u64> {
        self.0.get(asked).cloned().unwrap_or_default()
    }
}
