//! The metric of AI credits, in which plans of GitHub Copilot are counted.
//!
//! The sum is an exact integer of 10⁻⁹ credits and becomes a float only in the exposition.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::labels::ByModel;
use super::series::declare;
use crate::record::{Call, Model};

/// Counts credits. A series begins with the first call that reports any.
#[derive(Debug)]
pub(super) struct CreditMetrics(Family<ByModel, Credits>);

impl CreditMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        Self(declare(
            registry,
            "gravimeter_ai_credits_total",
            "AI credits of GitHub that LLM calls took of a plan, by the provider's own word, since this process began",
            Family::default(),
        ))
    }

    pub(super) fn ended(&self, call: &Call, model: &Model) {
        let Some(nano_credits) = call.reported.nano_credits else {
            return;
        };
        let labels = ByModel {
            provider: call.provider,
            model: model.clone(),
        };
        self.0.get_or_create_owned(&labels).add(nano_credits);
    }
}

/// A sum of credits, in 10⁻⁹ of one.
#[derive(Debug, Clone, Default)]
struct Credits(Arc<AtomicU64>);

impl Credits {
    /// Adds without wrapping, as all counters here do.
    fn add(&self, nano_credits: u64) {
        let saturated = |sum: u64| Some(sum.saturating_add(nano_credits));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, saturated);
    }
}

impl EncodeMetric for Credits {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the sum is exact up to nine million credits"
    )]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let credits = self.0.load(Ordering::Relaxed) as f64 / NANO;
        encoder.encode_counter::<NoLabelSet, _, u64>(&credits, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Credits {
    const TYPE: MetricType = MetricType::Counter;
}

/// Of one credit.
const NANO: f64 = 1e9;
