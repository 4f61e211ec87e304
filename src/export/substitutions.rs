//! The metric of calls that another model has answered than the one that was asked for.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::BySubstitution;
use super::series::{add, declare};
use crate::record::Substitution;

/// Counters of substitutions.
#[derive(Debug)]
pub(super) struct SubstitutionMetrics(Family<BySubstitution, Counter>);

impl SubstitutionMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        Self(declare(
            registry,
            "gravimeter_model_substitutions_total",
            "LLM calls that another model has answered than the requested one, which other names of it are not",
            Family::default(),
        ))
    }

    pub(super) fn add(&self, substitution: &Substitution) {
        let Substitution {
            provider,
            model,
            served_model,
            calls,
        } = substitution.clone();
        let labels = BySubstitution {
            provider,
            model,
            served_model,
        };
        add(&self.0.get_or_create_owned(&labels), calls);
    }
}
