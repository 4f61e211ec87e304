//! The set of all metrics: takes every fact, answers every scrape.
//!
//! What is counted of calls stands in `calls`, of connections and the house in `connections`, under the names of the
//! GenAI convention in `genai`; here are the registry they share and the rules of naming and counting.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::calls::CallMetrics;
use super::connections::ConnectionMetrics;
use super::genai::GenAiMetrics;
use super::labels::Build;
use super::process::ProcessCollector;
use super::text::{self, Format};
use crate::record::{Fact, Models, Sink};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Whether the metrics of the OpenTelemetry GenAI convention are exported beside ours.
    pub genai: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { genai: true }
    }
}

/// Every metric of the house.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: CallMetrics,
    connections: ConnectionMetrics,
    genai: Option<GenAiMetrics>,
    scrapes_rejected: Counter,
}

impl Metrics {
    /// Declares the metrics; series of closed label sets exist from here on, at 0.
    #[must_use]
    pub fn new(config: Config, models: Arc<Models>) -> Self {
        let mut registry = Registry::default();
        let build = Info::new(Build {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("GRAVIMETER_REVISION").unwrap_or("unknown"),
            rustc: option_env!("GRAVIMETER_RUSTC").unwrap_or("unknown"),
        });
        registry.register("gravimeter_build", "The running version", build);
        registry.register_collector(Box::new(ProcessCollector));
        Self {
            calls: CallMetrics::declare(&mut registry, Arc::clone(&models)),
            connections: ConnectionMetrics::declare(&mut registry),
            genai: config.genai.then(|| GenAiMetrics::declare(&mut registry, models)),
            scrapes_rejected: declare(
                &mut registry,
                "gravimeter_scrapes_rejected_total",
                "Requests that were answered with 503 because too many were being served",
                Counter::default(),
            ),
            registry,
        }
    }

    /// Counts a request that was turned away because too many were being served.
    pub fn scrape_rejected(&self) {
        self.scrapes_rejected.inc();
    }

    /// Writes the current values.
    ///
    /// # Errors
    /// [`fmt::Error`] when a metric cannot be written in the format; no metric declared here is of that sort.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        text::encode(&self.registry, format)
    }
}

impl Sink for Metrics {
    fn take(&self, fact: &Fact) {
        match fact {
            Fact::CallStarted(started) => self.calls.started(started),
            Fact::ContentChunk(chunk) => self.calls.chunk(chunk),
            Fact::Call(call) => {
                self.calls.ended(call);
                if let Some(genai) = &self.genai {
                    genai.ended(call);
                }
            }
            other => self.connections.take(other),
        }
    }
}

/// A histogram for each label set.
pub(super) type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

/// Registers a metric under the name that a scrape shows: the suffixes `_total`, `_seconds` and `_bytes` are taken off
/// here, because the library puts them on again by type and unit.
pub(super) fn declare<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if let Some(stem) = name.strip_suffix("_seconds") {
        registry.register_with_unit(stem, help, Unit::Seconds, metric.clone());
    } else if let Some(stem) = name.strip_suffix("_bytes") {
        registry.register_with_unit(stem, help, Unit::Bytes, metric.clone());
    } else {
        registry.register(name, help, metric.clone());
    }
    metric
}

/// Adds without wrapping: a provider may claim any number, and a counter that falls looks like a restart.
pub(super) fn add(counter: &Counter, count: u64) {
    let saturated = |sum: u64| Some(sum.saturating_add(count));
    let _ = counter.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, saturated);
}

/// Takes one off a gauge that counts what is open, never below zero.
pub(super) fn release(gauge: &Gauge<i64, AtomicI64>) {
    let lowered = |open: i64| (open > 0).then(|| open - 1);
    let _ = gauge.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered);
}

/// Latency of LLM calls.
pub(super) fn call_latency() -> Histogram {
    Histogram::new(CALL_SECONDS)
}

/// Gaps inside a stream.
pub(super) fn stream_gap() -> Histogram {
    Histogram::new(GAP_SECONDS)
}

/// What the house itself or the network takes.
pub(super) fn house_latency() -> Histogram {
    Histogram::new(HOUSE_SECONDS)
}

/// The boundaries that the GenAI convention prescribes for durations of inference: ours and the convention's histograms
/// can then be laid over each other.
const CALL_SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The same doubling, one decade lower: fast models stream a token in 2 to 5 ms, and nothing streams for a minute a token.
const GAP_SECONDS: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];

/// 50 µs is about what a chunk takes through the house, 5 s what a handshake takes on a lost packet and its retries.
const HOUSE_SECONDS: [f64; 16] =
    [50e-6, 1e-4, 250e-6, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
