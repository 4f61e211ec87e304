//! Exemplars: a bucket of a histogram names the span of the last call or run that fell into it.
//!
//! Only spans that are exported are named. Exemplars are no labels: they cost no series, and only
//! OpenMetrics and protobuf show them. The library's histograms have either exemplars or native
//! buckets, and attach an exemplar only at the moment they observe. So the spans are kept in
//! histograms of their own, of whose exposition nothing is shown but the exemplars: they are put on
//! the same series and bucket of the real ones. What is counted before its span is known, a
//! handshake or a call that waits for its place, gets its exemplar from [`super::late`].

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::prometheus_protobuf::{self, prometheus_data_model as model};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::calls::{CALL_DURATION, FIRST_CHUNK};
use super::cascades::RUN_DURATION;
use super::labels::{ByHandshake, ByModel, ByOperation, ByRun};
use super::series::{Histograms, call_spans, declare, handshake_spans, run_spans};
use super::tls::HANDSHAKE_SECONDS;
use crate::record::{SpanId, TraceContext, TraceId};

/// All exemplars, by the histogram that they belong to.
#[derive(Debug)]
pub(super) struct Exemplars {
    spans: Spans,
    registry: Registry,
}

/// The spans that histograms name. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Spans {
    pub(super) calls: SpansBy<ByOperation>,
    pub(super) first_chunks: SpansBy<ByModel>,
    pub(super) handshakes: SpansBy<ByHandshake>,
    pub(super) runs: SpansBy<ByRun>,
}

impl Exemplars {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let calls = SpansBy::new_with_constructor(call_spans);
        let first_chunks = SpansBy::new_with_constructor(call_spans);
        let handshakes = SpansBy::new_with_constructor(handshake_spans);
        let runs = SpansBy::new_with_constructor(run_spans);
        let spans = Spans {
            calls: declare(&mut registry, CALL_DURATION, "", calls),
            first_chunks: declare(&mut registry, FIRST_CHUNK, "", first_chunks),
            handshakes: declare(&mut registry, HANDSHAKE_SECONDS, "", handshakes),
            runs: declare(&mut registry, RUN_DURATION, "", runs),
        };
        Self { spans, registry }
    }

    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Puts the exemplars on the histograms that they belong to.
    ///
    /// # Errors
    /// Never for histograms with classic buckets.
    pub(super) fn put_on(&self, families: &mut [model::MetricFamily]) -> fmt::Result {
        for named in prometheus_protobuf::encode(&self.registry)? {
            let spans: HashMap<_, _> = named
                .metric
                .into_iter()
                .filter_map(|metric| Some((metric.label, metric.histogram?.bucket)))
                .collect();
            let histograms = families
                .iter_mut()
                .filter(|family| family.name == named.name)
                .flat_map(|family| &mut family.metric);
            for metric in histograms {
                if let (Some(histogram), Some(spans)) =
                    (&mut metric.histogram, spans.get(&metric.label))
                {
                    name_spans(histogram, spans);
                }
            }
        }
        Ok(())
    }
}

/// Names the spans in the classic buckets, and those that have a time in the native histogram:
/// there they must have one, and Prometheus takes them in its order.
fn name_spans(histogram: &mut model::Histogram, spans: &[model::Bucket]) {
    for (bucket, named) in histogram.bucket.iter_mut().zip(spans) {
        bucket.exemplar.clone_from(&named.exemplar);
    }
    let exemplars = spans.iter().filter_map(|bucket| bucket.exemplar.as_ref());
    histogram.exemplars = exemplars
        .filter(|exemplar| exemplar.timestamp.is_some())
        .cloned()
        .collect();
    histogram.exemplars.sort_by_key(|exemplar| {
        exemplar
            .timestamp
            .map_or((0, 0), |at| (at.seconds, at.nanos))
    });
}

/// Histograms of durations whose buckets may name a span, one for each label set.
#[derive(Debug)]
pub(super) struct TracedHistograms<S> {
    durations: Histograms<S>,
    spans: SpansBy<S>,
}

impl<S: Clone + Hash + Eq> TracedHistograms<S> {
    /// Registers the histograms; their exemplars are those of `spans`.
    pub(super) fn declare(
        registry: &mut Registry,
        name: &str,
        help: &str,
        latency: fn() -> Histogram,
        spans: &SpansBy<S>,
    ) -> Self
    where
        S: EncodeLabelSet + Debug + Send + Sync + 'static,
    {
        let durations = Histograms::new_with_constructor(latency);
        Self {
            durations: declare(registry, name, help, durations),
            spans: spans.clone(),
        }
    }

    /// Counts a duration; its bucket names the exemplar's span from now on, or keeps the one it has.
    pub(super) fn observe(&self, labels: &S, duration: Duration, exemplar: Option<Exemplar>) {
        self.durations
            .get_or_create_owned(labels)
            .observe(duration.as_secs_f64());
        name(&self.spans, labels, duration, exemplar);
    }
}

/// Names the exemplar's span in the bucket of the duration, which has been counted.
pub(super) fn name<S: Clone + Hash + Eq>(
    spans: &SpansBy<S>,
    labels: &S,
    duration: Duration,
    exemplar: Option<Exemplar>,
) {
    if let Some(exemplar) = exemplar {
        spans
            .get_or_create_owned(labels)
            .name(duration.as_secs_f64(), exemplar);
    }
}

/// [`BucketSpans`] for each label set.
pub(super) type SpansBy<S> = Family<S, BucketSpans, fn() -> BucketSpans>;

/// The spans that the buckets of one histogram name: of each bucket, the one that ended last.
///
/// That is 80 bytes of a hash table a bucket, at most 3.2 KB a series with what else it takes. With
/// the default limit of 200 models and every model asked of every provider, for every operation,
/// with every end, until every bucket has one, those of `gravimeter_call_duration_seconds` are
/// 12 MB and the others 4 MB; of a single provider and operation, 3 MB in all.
#[derive(Debug, Clone)]
pub(super) struct BucketSpans {
    edges: &'static [f64],
    /// When the span of each bucket ended, where there is one with a time. It guards the order in
    /// which they are named.
    ended_at: Arc<Mutex<Box<[Option<SystemTime>]>>>,
    named: HistogramWithExemplars<ExemplarLabels>,
}

impl BucketSpans {
    /// For a histogram with these upper edges, which grow, and a last bucket without one.
    pub(super) fn new(edges: &'static [f64]) -> Self {
        Self {
            edges,
            ended_at: Arc::new(Mutex::new(vec![None; edges.len() + 1].into())),
            named: HistogramWithExemplars::new(edges.iter().copied()),
        }
    }

    /// A span that ended before the one that is named is late, and Prometheus would refuse it.
    fn name(&self, value: f64, Exemplar { span, ended_at }: Exemplar) {
        let bucket = self.edges.partition_point(|edge| *edge < value);
        let mut all = self.ended_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = all.get_mut(bucket).filter(|before| **before <= ended_at) {
            *before = ended_at;
            self.named.observe(value, Some(span), ended_at);
        }
    }
}

impl TypedMetric for BucketSpans {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for BucketSpans {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.named.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The labels of an exemplar: 63 characters of the 128 that OpenMetrics allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExemplarLabels {
    trace_id: TraceId,
    span_id: SpanId,
}

/// A span that a bucket may name, and when it ended.
#[derive(Debug, Clone)]
pub(super) struct Exemplar {
    span: ExemplarLabels,
    ended_at: Option<SystemTime>,
}

impl Exemplar {
    /// `None` unless the span is exported, as it could not be looked up.
    pub(super) fn of(
        trace: Option<TraceContext>,
        started_at: SystemTime,
        duration: Duration,
    ) -> Option<Self> {
        let trace = trace.filter(|trace| trace.sampled)?;
        let span = ExemplarLabels {
            trace_id: trace.trace,
            span_id: trace.span,
        };
        // A clock that was never set may show a time before 1970, which no form can express.
        let ended_at = started_at
            .checked_add(duration)
            .filter(|at| *at >= UNIX_EPOCH);
        Some(Self { span, ended_at })
    }
}
