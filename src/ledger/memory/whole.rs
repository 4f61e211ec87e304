//! Everything that answers from memory are made of.

use jiff::Timestamp;

use super::models::{Names, Quotas};
use super::store::{Limits, Store};
use super::substitutions::Substitutions;
use super::sums::{ByModel, Served, Sums};
use crate::record::Totals;

/// Everything that answers from memory are made of.
#[derive(Debug)]
pub(in crate::ledger) struct InMemory {
    /// When the sums begin.
    pub(in crate::ledger) begun: Timestamp,
    /// Whether the sums are also of earlier processes.
    pub(in crate::ledger) is_resumed: bool,
    /// Of all calls.
    pub(in crate::ledger) sums: ByModel,
    pub(in crate::ledger) substitutions: Substitutions,
    pub(in crate::ledger) store: Store,
    pub(in crate::ledger) names: Names,
    pub(in crate::ledger) quotas: Quotas,
}

impl InMemory {
    /// Nothing yet.
    pub(in crate::ledger) fn new(begun: Timestamp, limits: Limits) -> Self {
        Self {
            begun,
            is_resumed: false,
            sums: ByModel::default(),
            substitutions: Substitutions::default(),
            store: Store::new(limits),
            names: Names::default(),
            quotas: Quotas::default(),
        }
    }

    /// Adds what earlier processes have counted since `begun`.
    pub(in crate::ledger) fn resume(&mut self, totals: &Totals, begun: Timestamp) {
        self.begun = self.begun.min(begun);
        self.is_resumed |= !totals.calls.is_empty();
        let mut earlier = ByModel::default();
        for group in &totals.calls {
            let served = Served {
                model: group.model.clone(),
                provider: group.provider,
            };
            earlier.add(&served, &Sums::from(group));
        }
        self.sums.merge(&earlier);
        self.store.add_other(&earlier);
        for one in &totals.substitutions {
            let served = Served {
                model: one.model.clone(),
                provider: one.provider,
            };
            self.substitutions
                .add(&served, &one.served_model, one.calls);
        }
    }
}
