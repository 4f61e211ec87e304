//! The metrics of budgets: how much of each is spent, how often it has stopped calls, and how many
//! people were notified.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::{ByBudget, ByNotification};
use super::series::{begin, count, declare, each};
use crate::budget::{BudgetStatus, Budgets};
use crate::record::{NotificationResult, NotificationTarget};

/// What budgets show, read at each scrape: a window ends without any event.
#[derive(Debug)]
pub(super) struct BudgetMetrics {
    budgets: Arc<OnceLock<Arc<Budgets>>>,
    notifications: Family<ByNotification, Counter>,
}

impl BudgetMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        let budgets = Arc::default();
        declare(
            registry,
            "gravimeter_budget_used_ratio",
            "The part of a budget's limit that is spent in its window, of the group that has spent most: 1 is all of it",
            Shown {
                budgets: Arc::clone(&budgets),
                figure: Figure::UsedRatio,
            },
        );
        declare(
            registry,
            "gravimeter_budget_stops_total",
            "How often a budget was used up, so that no new call of a group was carried",
            Shown {
                budgets: Arc::clone(&budgets),
                figure: Figure::Stops,
            },
        );
        let metrics = Self {
            budgets,
            notifications: declare(
                registry,
                "gravimeter_notifications_total",
                "Notifications of what changes about budgets",
                Family::default(),
            ),
        };
        each(|target| {
            each(|result| begin(&metrics.notifications, ByNotification { target, result }));
        });
        metrics
    }

    /// Shows these budgets. To be called once.
    pub(super) fn show(&self, budgets: Arc<Budgets>) {
        // Others would be the same.
        let _ = self.budgets.set(budgets);
    }

    pub(super) fn notified(&self, target: NotificationTarget, result: NotificationResult) {
        count(&self.notifications, ByNotification { target, result });
    }
}

/// A series for each budget.
#[derive(Debug, Clone)]
struct Shown {
    budgets: Arc<OnceLock<Arc<Budgets>>>,
    figure: Figure,
}

#[derive(Debug, Clone, Copy)]
enum Figure {
    Stops,
    UsedRatio,
}

impl EncodeMetric for Shown {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Some(budgets) = self.budgets.get() else {
            return Ok(());
        };
        for status in budgets.statuses(Timestamp::now()) {
            let BudgetStatus {
                name,
                used_ratio,
                stops,
                ..
            } = status;
            let labels = ByBudget {
                budget: name.to_string(),
            };
            let mut series = encoder.encode_family(&labels)?;
            match self.figure {
                Figure::Stops => series.encode_counter::<NoLabelSet, u64, f64>(&stops, None)?,
                Figure::UsedRatio => series.encode_gauge(&used_ratio)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.figure {
            Figure::Stops => MetricType::Counter,
            Figure::UsedRatio => MetricType::Gauge,
        }
    }

    fn is_empty(&self) -> bool {
        self.budgets.get().is_none()
    }
}
