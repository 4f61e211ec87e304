//! The metrics of models: how much of their quotas is left, and their display names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{ByQuota, ModelInfo};
use super::models::ModelLabels;
use super::series::{declare, unix_seconds};
use crate::record::{DisplayName, Model, ModelName, Provider, Quota};

/// Gauges of quotas, and the names of models. A model without a label of its own has neither.
#[derive(Debug)]
pub(super) struct QuotaMetrics {
    models: ModelLabels,
    remaining: Family<ByQuota, Gauge<f64, AtomicU64>>,
    resets: Family<ByQuota, Gauge>,
    names: Names,
}

impl QuotaMetrics {
    pub(super) fn declare(registry: &mut Registry, models: ModelLabels) -> Self {
        let names = Names::default();
        // The library puts the suffix `_info` on, as it does for the build.
        registry.register(
            "gravimeter_model",
            "What people call a model",
            names.clone(),
        );
        Self {
            models,
            remaining: declare(
                registry,
                "gravimeter_quota_remaining_ratio",
                "What is left of a quota, from 0 to 1, as it was reported last",
                Family::default(),
            ),
            resets: declare(
                registry,
                "gravimeter_quota_reset_timestamp_seconds",
                "When a quota is full again, since the Unix epoch; absent where it was not reported",
                Family::default(),
            ),
            names,
        }
    }

    pub(super) fn read(&self, quota: &Quota) {
        let Some(model) = self
            .models
            .own(&quota.model)
            .filter(|_| quota.remaining.is_finite())
        else {
            return;
        };
        let labels = ByQuota {
            provider: quota.provider,
            model,
            window: quota.window,
        };
        self.remaining
            .get_or_create_owned(&labels)
            .set(quota.remaining.clamp(0.0, 1.0));
        match quota.resets_at {
            Some(at) => {
                _ = self
                    .resets
                    .get_or_create_owned(&labels)
                    .set(unix_seconds(at))
            }
            None => _ = self.resets.remove(&labels),
        }
    }

    pub(super) fn named(&self, name: &ModelName) {
        if let Some(model) = self.models.own(&name.model) {
            self.names.set(name.provider, model, name.display.clone());
        }
    }
}

/// One series for each model: a new name replaces the old one in one step, so that a join never
/// finds two.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<(Provider, Model), DisplayName>>>);

impl Names {
    fn set(&self, provider: Provider, model: Model, display_name: DisplayName) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((provider, model), display_name);
    }
}

impl EncodeMetric for Names {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let names = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        names
            .into_iter()
            .try_for_each(|((provider, model), display_name)| {
                encoder.encode_info(&ModelInfo {
                    provider,
                    model,
                    display_name,
                })
            })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Info
    }

    fn is_empty(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }
}
