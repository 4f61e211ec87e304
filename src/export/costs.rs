//! The metrics of costs, and of calls without a price.
//!
//! The sum is an exact integer of nano-USD and becomes a float only in the exposition: a sum of
//! floats would drift.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::labels::{ByCost, ByModel};
use super::series::{add, declare};
use crate::record::{CallGroup, Cost, CostSource};

/// Counters of costs.
#[derive(Debug)]
pub(super) struct CostMetrics {
    cost: Family<ByCost, Costs>,
    unpriced: Family<ByModel, Counter>,
}

impl CostMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        Self {
            cost: declare(
                registry,
                "gravimeter_cost_usd_total",
                "What LLM calls cost: by the provider's own word where it says so, at list prices otherwise",
                Family::default(),
            ),
            unpriced: declare(
                registry,
                "gravimeter_unpriced_calls_total",
                "LLM calls whose tokens have no known price",
                Family::default(),
            ),
        }
    }

    /// All series of a model begin with its first call.
    pub(super) fn add(&self, group: &CallGroup) {
        let listed = group.cost.saturating_sub(group.reported_cost);
        for (source, cost) in [
            (CostSource::List, listed),
            (CostSource::Provider, group.reported_cost),
        ] {
            let labels = ByCost {
                provider: group.provider,
                model: group.model.clone(),
                source,
            };
            self.cost.get_or_create_owned(&labels).add(cost);
        }
        let labels = ByModel {
            provider: group.provider,
            model: group.model.clone(),
        };
        add(
            &self.unpriced.get_or_create_owned(&labels),
            group.unpriced_calls,
        );
    }
}

/// A sum of costs.
#[derive(Debug, Clone, Default)]
pub(super) struct Costs(Arc<AtomicU64>);

impl Costs {
    /// Adds without wrapping, as all counters here do.
    pub(super) fn add(&self, cost: Cost) {
        let saturated = |sum: u64| Some(Cost::from_nano_usd(sum).saturating_add(cost).nano_usd());
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, saturated);
    }
}

impl EncodeMetric for Costs {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let sum = Cost::from_nano_usd(self.0.load(Ordering::Relaxed));
        encoder.encode_counter::<NoLabelSet, _, u64>(&sum.usd(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Costs {
    const TYPE: MetricType = MetricType::Counter;
}
