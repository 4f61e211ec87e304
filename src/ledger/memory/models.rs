//! What is known of models besides their calls: their display names, and what is left of their
//! quotas.
//!
//! Only for models that have a label of their own: what is true of one model is not true of all that
//! share `other`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::sums::Served;
use super::time::time;
use crate::record::{DisplayName, Model, ModelName, Provider, Quota, QuotaWindow};

/// The display names of models, the newest of each.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Names(BTreeMap<Served, DisplayName>);

impl Names {
    pub(in crate::ledger) fn set(&mut self, name: &ModelName) {
        self.0.insert(
            Served {
                model: name.model.clone(),
                provider: name.provider,
            },
            name.display.clone(),
        );
    }

    pub(in crate::ledger) fn of(&self, served: &Served) -> Option<&DisplayName> {
        self.0.get(served)
    }

    /// For a model of which the provider is not known.
    pub(in crate::ledger) fn of_any(&self, model: &Model) -> Option<&DisplayName> {
        self.0
            .iter()
            .find(|(served, _)| served.model == *model)
            .map(|(_, name)| name)
    }
}

/// The last reading of a quota.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuotaReading {
    /// Whose.
    pub provider: Provider,
    /// The model it is for, or the group of models that shares it; `all` for every model of an
    /// account.
    pub model: Model,
    /// The display name of the model, if the agent has reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The window.
    pub window: QuotaWindow,
    /// What is left, from 0 to 1.
    pub remaining_ratio: f64,
    /// When it is full again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
    /// When it was read.
    pub read_at: Timestamp,
}

/// Every quota that was reported.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Quotas(BTreeMap<(Served, QuotaWindow), QuotaReading>);

impl Quotas {
    pub(in crate::ledger) fn read(&mut self, quota: &Quota, now: Timestamp) {
        if !quota.remaining.is_finite() {
            return;
        }
        let served = Served {
            model: quota.model.clone(),
            provider: quota.provider,
        };
        let reading = QuotaReading {
            provider: quota.provider,
            model: quota.model.clone(),
            display_name: None,
            window: quota.window,
            remaining_ratio: quota.remaining.clamp(0.0, 1.0),
            resets_at: quota.resets_at.map(time),
            read_at: now,
        };
        self.0.insert((served, quota.window), reading);
    }

    /// Whether a reading differs from the last one.
    pub(in crate::ledger) fn is_news(&self, quota: &Quota) -> bool {
        let served = Served {
            model: quota.model.clone(),
            provider: quota.provider,
        };
        let known = self.0.get(&(served, quota.window));
        let is_same = |known: &QuotaReading| {
            known.remaining_ratio == quota.remaining.clamp(0.0, 1.0)
                && known.resets_at == quota.resets_at.map(time)
        };
        quota.remaining.is_finite() && !known.is_some_and(is_same)
    }

    /// The readings by model, with the names that are known now. Of one model the window comes first
    /// of which least is left, because that one refuses the next call.
    pub(in crate::ledger) fn readings(&self, names: &Names) -> Vec<QuotaReading> {
        let named =
            |((served, _), reading): (&(Served, QuotaWindow), &QuotaReading)| QuotaReading {
                display_name: names.of(served).cloned(),
                ..reading.clone()
            };
        let mut readings: Vec<QuotaReading> = self.0.iter().map(named).collect();
        readings.sort_by(|one, other| {
            (&one.model, one.provider)
                .cmp(&(&other.model, other.provider))
                .then(one.remaining_ratio.total_cmp(&other.remaining_ratio))
        });
        readings
    }
}
