//! What became of the spans: each one is exported or lost, and each is counted once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::export::labels::BySpanLoss;
use crate::export::series::{add, begin, declare, each};
use crate::record::label;

label! {
    /// Why a span never came to be in the collector, as far as is known here.
    pub enum SpanLoss {
        /// The collector's answer cannot be read: nobody knows what it has taken.
        BadAnswer => "bad_answer",
        /// The collector was too busy for as long as the batch was tried.
        Busy => "busy",
        /// Too many spans waited already.
        QueueFull => "queue_full",
        /// The collector does not want it.
        Rejected => "rejected",
        /// There was no time left at the end of the program.
        Shutdown => "shutdown",
        /// The collector did not answer in time for as long as the batch was tried.
        Timeout => "timeout",
        /// The collector could not be reached for as long as the batch was tried.
        Unreachable => "unreachable",
        /// Its place in a trace never became known.
        Unsettled => "unsettled",
    }
}

/// The counters; clones count together.
#[derive(Debug, Clone)]
pub struct SpanCounts {
    exported: Counter,
    dropped: Family<BySpanLoss, Counter>,
}

impl SpanCounts {
    pub(in crate::export) fn declare(registry: &mut Registry) -> Self {
        let counts = Self {
            exported: declare(
                registry,
                "gravimeter_otlp_spans_exported_total",
                "Spans that the collector has taken",
                Counter::default(),
            ),
            dropped: declare(
                registry,
                "gravimeter_otlp_spans_dropped_total",
                "Spans that were to be exported and are lost; the traffic was not affected",
                Family::default(),
            ),
        };
        each(|reason| begin(&counts.dropped, BySpanLoss { reason }));
        counts
    }

    pub(in crate::export) fn exported(&self, spans: usize) {
        add(&self.exported, spans as u64);
    }

    pub(in crate::export) fn lost(&self, reason: SpanLoss, spans: usize) {
        add(&self.dropped.get_or_create_owned(&BySpanLoss { reason }), spans as u64);
    }
}
