//! Exemplars: a bucket of a histogram names the span of the last call or run that fell into it.
//!
//! Only spans that are exported are named. Exemplars are no labels: they cost no series, and only
//! OpenMetrics shows them. The library attaches one at the moment it observes and never later, so
//! what is counted before its span is known has none here: to observe it again would count it
//! twice. Handshakes, which are always counted so, and calls that wait for their place get theirs
//! from [`super::late`].

use std::hash::Hash;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;

use crate::record::{SpanId, TraceContext, TraceId};

/// A histogram whose buckets may name a span.
///
/// Each bucket holds one exemplar, the latest. That is 80 bytes of a hash table, at most 2.6 KB a
/// series. With the default limit of 200 models and every model asked of every provider, for every
/// operation, with every end, until every bucket has one, `gravimeter_call_duration_seconds` keeps
/// 9.5 MB and the others 3 MB; a single provider and operation, 2.4 MB in all.
pub(super) type TracedHistogram = HistogramWithExemplars<ExemplarLabels>;

/// A [`TracedHistogram`] for each label set.
pub(super) type TracedHistograms<S> = Family<S, TracedHistogram, fn() -> TracedHistogram>;

/// The labels of an exemplar: 63 characters of the 128 that OpenMetrics allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ExemplarLabels {
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
        // The library's encoder panics at a time before 1970, which a clock that was never set may
        // show.
        let ended_at = started_at
            .checked_add(duration)
            .filter(|at| *at >= UNIX_EPOCH);
        Some(Self { span, ended_at })
    }
}

/// Counts a duration; its bucket names the exemplar's span from now on, or keeps the one it has.
pub(super) fn observe<S: Clone + Hash + Eq>(
    family: &TracedHistograms<S>,
    labels: &S,
    duration: Duration,
    exemplar: Option<Exemplar>,
) {
    let ended_at = exemplar.as_ref().and_then(|exemplar| exemplar.ended_at);
    let span = exemplar.map(|exemplar| exemplar.span);
    family
        .get_or_create_owned(labels)
        .observe(duration.as_secs_f64(), span, ended_at);
}
