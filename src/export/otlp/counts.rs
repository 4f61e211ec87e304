//! What became of spans and points: each one is exported or lost, and each is counted once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::delivery::DeliveryResult;
use crate::export::labels::ByLoss;
use crate::export::series::{add, begin, declare, each};
use crate::record::label;

label! {
    /// Why a span or a point never came to be in the collector, as far as is known here.
    pub enum Loss {
        /// The collector's answer cannot be read: nobody knows what it has taken.
        ///
        /// What to do: see whether the address is that of an OTLP collector.
        BadAnswer => "bad_answer",
        /// The collector was too busy for as long as the message was tried.
        ///
        /// What to do: give the collector more resources, or raise its queue.
        Busy => "busy",
        /// Too many spans waited already.
        ///
        /// What to do: see whether the collector is reached; raise `otlp.queue`, if there are
        /// bursts.
        QueueFull => "queue_full",
        /// The collector does not want it.
        ///
        /// What to do: look at the collector's log.
        Rejected => "rejected",
        /// There was no time left at the end of the program.
        ///
        /// What to do: raise the time that the service has to stop.
        Shutdown => "shutdown",
        /// The collector did not answer in time for as long as the message was tried.
        ///
        /// What to do: give the collector more resources; check the network.
        Timeout => "timeout",
        /// The collector could not be reached for as long as the message was tried.
        ///
        /// What to do: check the address and that the collector runs.
        Unreachable => "unreachable",
        /// Its place in a trace never became known.
        Unsettled => "unsettled",
    }
}

/// The counters of one signal; clones count together.
#[derive(Debug, Clone)]
pub struct Counts {
    exported: Counter,
    dropped: Family<ByLoss, Counter>,
}

impl Counts {
    pub(in crate::export) fn of_spans(registry: &mut Registry) -> Self {
        Self::declare(
            registry,
            (
                "gravimeter_otlp_spans_exported_total",
                "Spans that the collector has taken",
            ),
            (
                "gravimeter_otlp_spans_dropped_total",
                "Spans that were to be exported and are lost; the traffic was not affected",
            ),
        )
    }

    /// Of which one is pushed for each series.
    pub(in crate::export) fn of_points(registry: &mut Registry) -> Self {
        Self::declare(
            registry,
            (
                "gravimeter_otlp_points_exported_total",
                "Points of pushed metrics that the collector has taken",
            ),
            (
                "gravimeter_otlp_points_dropped_total",
                "Points of pushed metrics that are lost; what they counted comes with the next ones",
            ),
        )
    }

    fn declare(registry: &mut Registry, exported: (&str, &str), dropped: (&str, &str)) -> Self {
        let counts = Self {
            exported: declare(registry, exported.0, exported.1, Counter::default()),
            dropped: declare(registry, dropped.0, dropped.1, Family::default()),
        };
        each(|reason| begin(&counts.dropped, ByLoss { reason }));
        counts
    }

    /// A message of so many has come to its end.
    pub(super) fn settle(&self, result: DeliveryResult, all: usize) {
        match result {
            DeliveryResult::Lost(loss) => self.lost(loss, all),
            DeliveryResult::Taken { rejected } => {
                let rejected = usize::try_from(rejected).unwrap_or(all).min(all);
                add(&self.exported, (all - rejected) as u64);
                self.lost(Loss::Rejected, rejected);
            }
        }
    }

    pub(in crate::export) fn lost(&self, reason: Loss, count: usize) {
        add(
            &self.dropped.get_or_create_owned(&ByLoss { reason }),
            count as u64,
        );
    }
}
