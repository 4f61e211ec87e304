//! The metrics of the ledger: failures of its file, and records that are not written to it.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::{ByLedgerFailure, ByLedgerRecord};
use super::series::{begin, count, declare, each};
use crate::record::{LedgerFailure, LedgerRecord};

/// Counters of the ledger.
#[derive(Debug)]
pub(super) struct LedgerMetrics {
    errors: Family<ByLedgerFailure, Counter>,
    dropped_calls: Counter,
    dropped: Family<ByLedgerRecord, Counter>,
}

impl LedgerMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        let metrics = Self {
            errors: declare(
                registry,
                "gravimeter_ledger_errors_total",
                "Failures of the ledger's file; what could not be written for now waits in memory and is tried again",
                Family::default(),
            ),
            dropped_calls: declare(
                registry,
                "gravimeter_ledger_dropped_calls_total",
                "LLM calls that the ledger will never have: too many records waited for its file, or it can never take them",
                Counter::default(),
            ),
            dropped: declare(
                registry,
                "gravimeter_ledger_dropped_records_total",
                "Records of any kind that the ledger will never have: too many waited for its file, or it can never take them",
                Family::default(),
            ),
        };
        each(|operation| begin(&metrics.errors, ByLedgerFailure { operation }));
        each(|record| begin(&metrics.dropped, ByLedgerRecord { record }));
        metrics
    }

    pub(super) fn failed(&self, operation: LedgerFailure) {
        count(&self.errors, ByLedgerFailure { operation });
    }

    pub(super) fn dropped(&self, record: LedgerRecord) {
        count(&self.dropped, ByLedgerRecord { record });
        if record == LedgerRecord::Call {
            self.dropped_calls.inc();
        }
    }
}
