//! The rules of naming and counting that all metrics follow.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry, Unit};

use super::exemplars::BucketSpans;
use super::gaps::GapHistogram;
use super::native;
use crate::record::Label;

/// A histogram for each label set.
pub(super) type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

/// Registers a metric under the name that a scrape shows: the suffixes `_total`, `_seconds`,
/// `_bytes` and `_usd` are taken off here, because the library puts them on again by type and unit.
pub(super) fn declare<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if let Some(stem) = name.strip_suffix("_seconds") {
        registry.register_with_unit(stem, help, Unit::Seconds, metric.clone());
    } else if let Some(stem) = name.strip_suffix("_bytes") {
        registry.register_with_unit(stem, help, Unit::Bytes, metric.clone());
    } else if let Some(stem) = name.strip_suffix("_usd") {
        registry.register_with_unit(stem, help, Unit::Other("usd".to_owned()), metric.clone());
    } else {
        registry.register(name, help, metric.clone());
    }
    metric
}

/// Adds without wrapping: a provider may claim any number, and a counter that falls looks like a
/// restart.
pub(super) fn add(counter: &Counter, count: u64) {
    let saturated = |sum: u64| Some(sum.saturating_add(count));
    let _ = counter
        .inner()
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, saturated);
}

/// Takes one off a gauge that counts what is open, never below zero.
pub(super) fn release(gauge: &Gauge<i64, AtomicI64>) {
    let lowered = |open: i64| (open > 0).then(|| open - 1);
    let _ = gauge
        .inner()
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered);
}

/// Latency of LLM calls.
pub(super) fn call_latency() -> Histogram {
    native::histogram(CALL_SECONDS)
}

/// The same as the GenAI convention wants it.
pub(super) fn convention_call_latency() -> Histogram {
    native::histogram(CONVENTION_CALL_SECONDS)
}

/// Spans that latencies of LLM calls may name.
pub(super) fn call_spans() -> BucketSpans {
    BucketSpans::new(&CALL_SECONDS)
}

/// Time inside a stream, for each token of it.
pub(super) fn token_gap() -> Histogram {
    native::histogram(GAP_SECONDS)
}

/// Gaps inside a stream.
pub(super) fn stream_gap() -> GapHistogram {
    GapHistogram::new(&GAP_SECONDS)
}

/// Gaps inside a stream, by the boundaries that the GenAI convention prescribes.
pub(super) fn convention_gap() -> GapHistogram {
    GapHistogram::new(&CONVENTION_CALL_SECONDS)
}

/// Latency of Gravimeter itself or of the network.
pub(super) fn own_latency() -> Histogram {
    native::histogram(OWN_SECONDS)
}

/// Spans that latencies of handshakes may name.
pub(super) fn handshake_spans() -> BucketSpans {
    BucketSpans::new(&OWN_SECONDS)
}

/// Latency of runs.
pub(super) fn run_latency() -> Histogram {
    native::histogram(RUN_SECONDS)
}

/// The same as the GenAI convention wants it.
pub(super) fn convention_run_latency() -> Histogram {
    native::histogram(CONVENTION_RUN_SECONDS)
}

/// Spans that latencies of runs may name.
pub(super) fn run_spans() -> BucketSpans {
    BucketSpans::new(&RUN_SECONDS)
}

/// Calls of a run.
pub(super) fn run_calls() -> Histogram {
    native::histogram(RUN_CALLS)
}

/// Tokens of an inference, by the boundaries that the GenAI convention prescribes.
pub(super) fn convention_tokens() -> Histogram {
    native::histogram(CONVENTION_TOKENS)
}

/// Tokens of a run.
pub(super) fn run_tokens() -> Histogram {
    native::histogram(CONVENTION_TOKENS)
}

/// A point in time as a gauge shows it.
pub(super) fn unix_seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Calls `touch` for each member of a closed set.
pub(super) fn each<L: Label>(touch: impl Fn(L)) {
    L::ALL.iter().copied().for_each(touch);
}

/// Makes a series exist before its first event.
pub(super) fn begin<S: Clone + Hash + Eq, M: Clone + Default>(family: &Family<S, M>, labels: S) {
    let _ = family.get_or_create_owned(&labels);
}

/// Counts one event.
pub(super) fn count<S: Clone + Hash + Eq>(family: &Family<S, Counter>, labels: S) {
    family.get_or_create_owned(&labels).inc();
}

/// A gauge that is absent until its value is known: a 0 would say "expired in 1970" or "the agent
/// is down".
#[derive(Debug, Clone, Default)]
pub(super) struct LateGauge(Arc<OnceLock<Gauge>>);

impl LateGauge {
    pub(super) fn set(&self, value: i64) {
        self.0.get_or_init(Gauge::default).set(value);
    }
}

impl EncodeMetric for LateGauge {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.get().map_or(Ok(()), |gauge| gauge.encode(encoder))
    }

    fn metric_type(&self) -> MetricType {
        <Gauge as TypedMetric>::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }
}

/// The boundaries of the GenAI convention from where calls of models begin, and the same doubling
/// up to 22 minutes: a call that thinks, or writes a long file, takes longer than the convention's
/// last one. The two histograms can be laid over each other.
const CALL_SECONDS: [f64; 15] = [
    0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36,
    1310.72,
];

/// What the GenAI convention prescribes for durations of inference.
const CONVENTION_CALL_SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/// The same doubling, one decade lower: fast models stream a token in 2 to 5 ms, and nothing
/// streams for a minute a token.
const GAP_SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192,
];

/// The boundaries of the GenAI convention from where runs begin, and the same doubling up to almost
/// two hours, which an agent may well work on one message.
const RUN_SECONDS: [f64; 14] = [
    0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2, 1638.4, 3276.8, 6553.6,
];

/// What the GenAI convention prescribes for an invocation of an agent, which a run is.
const CONVENTION_RUN_SECONDS: [f64; 13] = [
    0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
];

/// The convention's for the inferences of an invocation.
const RUN_CALLS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The convention's for tokens, of an inference as of a run.
const CONVENTION_TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// 50 µs is about what a chunk takes through Gravimeter, 5 s what a handshake takes on a lost
/// packet and its retries.
const OWN_SECONDS: [f64; 16] = [
    50e-6, 1e-4, 250e-6, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
