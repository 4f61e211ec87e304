//! The metrics of rules that change requests.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::ByRule;
use super::series::{count, declare};
use crate::record::RuleUse;

/// How often rules matched, and whether their files are well.
#[derive(Debug)]
pub(super) struct RuleMetrics {
    uses: Family<ByRule, Counter>,
    active: Gauge,
    broken: Gauge,
}

impl RuleMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        Self {
            uses: declare(
                registry,
                "gravimeter_rules_applied_total",
                "Requests that a rule matched, by what it did",
                Family::default(),
            ),
            active: declare(
                registry,
                "gravimeter_rules_active",
                "Rules that hold",
                Gauge::default(),
            ),
            broken: declare(
                registry,
                "gravimeter_rules_broken",
                "Whether the files of rules have mistakes since they were last edited, so that the rules before hold",
                Gauge::default(),
            ),
        }
    }

    pub(super) fn used(&self, used: &RuleUse) {
        let rule = used.rule.to_string();
        let result = used.result;
        count(&self.uses, ByRule { rule, result });
    }

    pub(super) fn read(&self, active: usize, is_broken: bool) {
        self.active.set(i64::try_from(active).unwrap_or(i64::MAX));
        self.broken.set(i64::from(is_broken));
    }
}
