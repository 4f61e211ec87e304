//! What became of spans and points: each one is exported or lost, and each is counted once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::export::labels::ByLoss;
use crate::export::series::{add, begin, declare, each};
use crate::record::label;

label! {
    /// Why a span or a point never came to be in the collector, as far as is known here.
    pub enum Loss {
        /// The collector's answer cannot be read: nobody knows what it has taken.
        BadAnswer => "bad_answer",
        /// The collector was too busy for as long as the message was tried.
        Busy => "busy",
        /// Too many spans waited already.
        QueueFull => "queue_full",
        /// The collector does not want it.
        Rejected => "rejected",
        /// There was no time left at the end of the program.
        Shutdown => "shutdown",
        /// The collector did not answer in time for as long as the message was tried.
        Timeout => "timeout",
        /// The collector could not be reached for as long as the message was tried.
        Unreachable => "unreachable",
        /// Its place in a trace never became known.
        Unsettled => "unsettled",
    }
}

/// The counters of spans; clones count together.
#[derive(Debug, Clone)]
pub struct SpanCounts {
    exported: Counter,
    dropped: Family<ByLoss, Counter>,
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
        each(|reason| begin(&counts.dropped, ByLoss { reason }));
        counts
    }

    pub(in crate::export) fn exported(&self, spans: usize) {
        add(&self.exported, spans as u64);
    }

    pub(in crate::export) fn lost(&self, reason: Loss, spans: usize) {
        add(&self.dropped.get_or_create_owned(&ByLoss { reason }), spans as u64);
    }
}

/// The counters of points, of which one is pushed for each series; clones count together.
#[derive(Debug, Clone)]
pub struct PointCounts {
    exported: Counter,
    dropped: Family<ByLoss, Counter>,
}

impl PointCounts {
    pub(in crate::export) fn declare(registry: &mut Registry) -> Self {
        let counts = Self {
            exported: declare(
                registry,
                "gravimeter_otlp_points_exported_total",
                "Points of pushed metrics that the collector has taken",
                Counter::default(),
            ),
            dropped: declare(
                registry,
                "gravimeter_otlp_points_dropped_total",
                "Points of pushed metrics that are lost; what they counted comes with the next ones",
                Family::default(),
            ),
        };
        each(|reason| begin(&counts.dropped, ByLoss { reason }));
        counts
    }

    pub(super) fn exported(&self, points: usize) {
        add(&self.exported, points as u64);
    }

    pub(super) fn lost(&self, reason: Loss, points: usize) {
        add(&self.dropped.get_or_create_owned(&ByLoss { reason }), points as u64);
    }
}
