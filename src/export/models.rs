//! Model labels: the bounded set that all views share, and the count of models beyond it.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::ByLabel;
use super::series::declare;
use crate::record::{Call, CascadeRun, Model, Models, Substitution};

/// Assigns the labels of models.
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
        Self {
            models,
            folded: overflow.get_or_create_owned(&ByLabel { label: "model" }),
        }
    }

    /// The model's label.
    pub(super) fn of(&self, model: &Model) -> Model {
        self.models.label(model)
    }

    /// The label of a call that is counted elsewhere.
    pub(super) fn of_call(&self, call: &Call) -> Model {
        self.models.name(call)
    }

    /// The label of a call that is counted here.
    pub(super) fn counted(&self, call: &Call) -> Model {
        self.folded(self.models.name(call), &call.model)
    }

    /// The substitution that a call is, where another model has answered it.
    pub(super) fn substitution(&self, call: &Call) -> Option<Substitution> {
        self.models.substitution(call)
    }

    /// The label of a run.
    pub(super) fn of_run(&self, run: &CascadeRun) -> Model {
        self.folded(self.of(&run.model), &run.model)
    }

    /// The label of a model that its provider or the agent tells of, if it is its own. What is said
    /// of one model must not be read as said of all that share `other`.
    pub(super) fn own(&self, model: &Model) -> Option<Model> {
        Some(self.folded(self.models.admit(model), model)).filter(|label| label == model)
    }

    /// Counts what would have another label if there were room for it. A model that no provider has
    /// answered as is none of it.
    fn folded(&self, label: Model, model: &Model) -> Model {
        if label != *model && self.models.is_full() {
            self.folded.inc();
        }
        label
    }
}
