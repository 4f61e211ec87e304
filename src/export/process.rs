//! The standard `process_*` metrics, read from the operating system at each scrape.
//!
//! Names and meaning:
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.

use std::fmt;

use metrics_process::collector::{Metrics, collect};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Asks the operating system when it is encoded. A figure that the system does not give has no
/// series.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen: Metrics = collect();
        if let Some(cpu) = seen.cpu_seconds_total {
            let help = "User and system CPU time spent.";
            let counter = ConstCounter::new(cpu);
            let metric = encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&Unit::Seconds),
                counter.metric_type(),
            )?;
            counter.encode(metric)?;
        }
        let gauges = [
            (
                "process_open_fds",
                "Open file descriptors.",
                None,
                seen.open_fds,
            ),
            (
                "process_max_fds",
                "Limit of open file descriptors.",
                None,
                seen.max_fds,
            ),
            (
                "process_threads",
                "Threads of the operating system.",
                None,
                seen.threads,
            ),
            (
                "process_virtual_memory",
                "Virtual memory.",
                Some(Unit::Bytes),
                seen.virtual_memory_bytes,
            ),
            (
                "process_resident_memory",
                "Resident memory.",
                Some(Unit::Bytes),
                seen.resident_memory_bytes,
            ),
            (
                "process_start_time",
                "Start of the process since the Unix epoch.",
                Some(Unit::Seconds),
                seen.start_time_seconds,
            ),
        ];
        for (name, help, unit, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                gauge.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
