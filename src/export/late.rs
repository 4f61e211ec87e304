//! Exemplars of what is counted before its span is known: a handshake, whose span comes with the
//! first call behind it, and a call that may belong to this run or to the next.
//!
//! Input: what was counted, with its span, and an exposition; output: the exposition with the span
//! named in the bucket. The library attaches an exemplar only at the moment it counts. So what has
//! got its span is counted again in separate histograms, and of their exposition nothing is shown
//! but the exemplars: they go to the same series and bucket of the real exposition, whose samples
//! stay as they are.

use std::collections::HashMap;
use std::fmt;

use memchr::memmem;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::calls::{CALL_DURATION, FIRST_CHUNK};
use super::exemplars::{Exemplar, TracedHistograms, observe};
use super::labels::{ByHandshake, ByModel, ByOperation};
use super::models::ModelLabels;
use super::series::{declare, traced_call_latency, traced_own_latency};
use super::spans::handshakes;
use super::tls::HANDSHAKE_SECONDS;
use crate::record::{Call, ConnectionSetup, TraceContext};

/// Receives spans of what has been counted. Clones share what they received.
#[derive(Debug, Clone)]
pub struct LateSpans {
    models: ModelLabels,
    calls: TracedHistograms<ByOperation>,
    first_chunks: TracedHistograms<ByModel>,
    handshakes: TracedHistograms<ByHandshake>,
}

impl LateSpans {
    /// The handshakes of a connection's setup have spans now, below the call that stands at
    /// `place`.
    pub(super) fn handshakes(&self, setup: &ConnectionSetup, place: &TraceContext) {
        for (phase, done, span) in handshakes(setup, place) {
            let labels = ByHandshake {
                side: done.side,
                version: done.version,
                resumed: done.resumed,
            };
            let exemplar = Exemplar::of(
                Some(TraceContext { span, ..*place }),
                phase.started_at,
                phase.duration,
            );
            observe(&self.handshakes, &labels, done.duration, exemplar);
        }
    }

    /// An earlier call stands at `place`.
    pub(super) fn call(&self, call: &Call, place: &TraceContext) {
        let (provider, operation, timing) = (call.provider, call.operation, &call.timing);
        let model = self.models.of_call(call);
        let exemplar = Exemplar::of(Some(*place), timing.started_at, timing.duration);
        if let Some(first) = timing.time_to_first_chunk {
            observe(
                &self.first_chunks,
                &ByModel {
                    provider,
                    model: model.clone(),
                },
                first,
                exemplar.clone(),
            );
        }
        observe(
            &self.calls,
            &ByOperation {
                provider,
                model,
                operation,
            },
            timing.duration,
            exemplar,
        );
    }
}

/// The exemplars that became known late.
#[derive(Debug)]
pub(super) struct LateExemplars {
    spans: LateSpans,
    registry: Registry,
}

impl LateExemplars {
    pub(super) fn new(models: ModelLabels) -> Self {
        let mut registry = Registry::default();
        let calls = TracedHistograms::new_with_constructor(traced_call_latency);
        let first_chunks = TracedHistograms::new_with_constructor(traced_call_latency);
        let handshakes = TracedHistograms::new_with_constructor(traced_own_latency);
        let spans = LateSpans {
            models,
            calls: declare(&mut registry, CALL_DURATION, "", calls),
            first_chunks: declare(&mut registry, FIRST_CHUNK, "", first_chunks),
            handshakes: declare(&mut registry, HANDSHAKE_SECONDS, "", handshakes),
        };
        Self { spans, registry }
    }

    /// The receiver of spans.
    pub(super) fn spans(&self) -> LateSpans {
        self.spans.clone()
    }

    /// Puts the exemplars on an exposition in OpenMetrics.
    ///
    /// # Errors
    /// Never for histograms with classic buckets.
    pub(super) fn put_on(&self, mut exposition: String) -> Result<String, fmt::Error> {
        let mut counted_again = String::new();
        text::encode(&mut counted_again, &self.registry)?;
        let exemplars: HashMap<_, _> = counted_again.lines().filter_map(exemplar).collect();
        for name in [CALL_DURATION, FIRST_CHUNK, HANDSHAKE_SECONDS]
            .into_iter()
            .filter(|_| !exemplars.is_empty())
        {
            put_on_buckets(&mut exposition, name, &exemplars);
        }
        Ok(exposition)
    }
}

/// Names spans in the buckets of one metric, which stand together.
fn put_on_buckets(exposition: &mut String, name: &str, exemplars: &HashMap<&str, &str>) {
    let bucket = format!("\n{name}_bucket{{");
    let first = memmem::find(exposition.as_bytes(), bucket.as_bytes());
    let last = memmem::rfind(exposition.as_bytes(), bucket.as_bytes());
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    let start = first + 1;
    let end_of_line = exposition.get(last + 1..).and_then(|rest| rest.find('\n'));
    let end = end_of_line.map_or(exposition.len(), |at| last + 1 + at);
    let named = exposition
        .get(start..end)
        .map(|lines| with_exemplars(lines, exemplars))
        .unwrap_or_default();
    exposition.replace_range(start..end, &named);
}

/// The lines with the exemplars of those series that have one, or a later one than the line has.
fn with_exemplars(lines: &str, exemplars: &HashMap<&str, &str>) -> String {
    let named = lines.lines().map(|line| {
        let (sample, own) = split(line);
        let series = sample.rsplit_once(' ').map_or(sample, |(series, _)| series);
        let late = exemplars
            .get(series)
            .filter(|late| own.is_none_or(|own| ended_at(own) <= ended_at(late)));
        late.map_or_else(|| line.to_owned(), |late| format!("{sample}{BEFORE}{late}"))
    });
    named.collect::<Vec<_>>().join("\n")
}

/// Series and exemplar of a sample's line; `None` where there is no exemplar.
fn exemplar(line: &str) -> Option<(&str, &str)> {
    let (sample, exemplar) = split(line);
    let (series, _count) = sample.rsplit_once(' ')?;
    Some((series, exemplar?))
}

/// A sample and its exemplar. A label's value may hold anything but a quotation mark that nothing
/// stands before.
fn split(line: &str) -> (&str, Option<&str>) {
    let parts = line
        .rfind(BEGINNING)
        .and_then(|at| Some((line.get(..at)?, line.get(at + BEFORE.len()..)?)));
    parts.map_or((line, None), |(sample, exemplar)| (sample, Some(exemplar)))
}

/// The time of an exemplar, in seconds since 1970, where it has one.
fn ended_at(exemplar: &str) -> Option<f64> {
    let (_, value_and_time) = exemplar.split_once("} ")?;
    value_and_time.split_once(' ')?.1.parse().ok()
}

/// What stands between a sample and its exemplar (OpenMetrics 1.0, `exemplar` of the ABNF).
const BEFORE: &str = " # ";

/// How an exemplar of ours begins.
const BEGINNING: &str = " # {trace_id=\"";
