//! Models as labels: the bounded set that every view shares, and the count of what had no room in it.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::ByLabel;
use super::series::declare;
use crate::record::{Model, Models};

/// Hands out the labels of models.
#[derive(Debug, Clone)]
pub(super) struct ModelLabels {
    models: Arc<Models>,
    folded: Counter,
}

impl ModelLabels {
    pub(super) fn declare(registry: &mut Registry, models: Arc<Models>) -> Self {
        let overflow = declare(
            registry,
            "gravimeter_label_overflow_total",
            "Events whose label value was folded into 'other' because the label has too many values",
            Family::<ByLabel, Counter>::default(),
        );
        Self { models, folded: overflow.get_or_create_owned(&ByLabel { label: "model" }) }
    }

    /// The model's label.
    pub(super) fn of(&self, model: &Model) -> Model {
        self.models.admit(model)
    }

    /// The model's label, for an event that is counted where it is folded.
    pub(super) fn counted(&self, model: &Model) -> Model {
        let label = self.of(model);
        if label != *model {
            self.folded.inc();
        }
        label
    }

    /// The model's label if it is its own. What is said of one model must not be read as said of all that share `other`.
    pub(super) fn own(&self, model: &Model) -> Option<Model> {
        Some(self.counted(model)).filter(|label| label == model)
    }
}
