//! Exemplars of handshakes: they are counted when they end, and their spans are known only with the first call behind them.
//!
//! A handshake and its span enter; an exposition with that handshake's bucket enters, and leaves with the span named there.
//! The library attaches an exemplar only in the moment it counts. So a handshake whose span has become known is counted again
//! among others of its kind, and of what the library writes about those nothing is shown but the exemplars: they go to the
//! same series and bucket of the exposition, whose samples stay as they are.

use std::collections::HashMap;
use std::fmt;

use memchr::memmem;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::exemplars::{Exemplar, TracedHistograms, observe};
use super::labels::ByHandshake;
use super::series::{declare, traced_house_latency};
use super::spans::handshakes;
use super::tls::HANDSHAKE_SECONDS;
use crate::record::{ConnectionSetup, TraceContext};

/// Learns the spans of handshakes. Clones learn together.
#[derive(Debug, Clone)]
pub struct HandshakeSpans(TracedHistograms<ByHandshake>);

impl HandshakeSpans {
    /// The handshakes of a connection's setup have spans now, below the call that stands at `place`.
    pub(super) fn learn(&self, setup: &ConnectionSetup, place: &TraceContext) {
        for (phase, done, span) in handshakes(setup, place) {
            let labels = ByHandshake { side: done.side, version: done.version, resumed: done.resumed };
            let exemplar = Exemplar::of(Some(TraceContext { span, ..*place }), phase.started_at, phase.duration);
            observe(&self.0, &labels, done.duration, exemplar);
        }
    }
}

/// What is known of the spans of handshakes, in a form that can be shown.
#[derive(Debug)]
pub(super) struct HandshakeExemplars {
    spans: HandshakeSpans,
    registry: Registry,
}

impl Default for HandshakeExemplars {
    fn default() -> Self {
        let mut registry = Registry::default();
        let family = TracedHistograms::new_with_constructor(traced_house_latency);
        let spans = HandshakeSpans(declare(&mut registry, HANDSHAKE_SECONDS, "", family));
        Self { spans, registry }
    }
}

impl HandshakeExemplars {
    /// For whoever makes spans.
    pub(super) fn spans(&self) -> HandshakeSpans {
        self.spans.clone()
    }

    /// Puts the exemplars on an exposition in OpenMetrics.
    ///
    /// # Errors
    /// None that a histogram with classic buckets could be the cause of.
    pub(super) fn put_on(&self, mut exposition: String) -> Result<String, fmt::Error> {
        let mut counted_again = String::new();
        text::encode(&mut counted_again, &self.registry)?;
        let exemplars: HashMap<_, _> = counted_again.lines().filter_map(exemplar).collect();
        let buckets = format!("\n{HANDSHAKE_SECONDS}_bucket{{");
        let place = memmem::find(exposition.as_bytes(), buckets.as_bytes());
        let last = memmem::rfind(exposition.as_bytes(), buckets.as_bytes());
        if let (false, Some(start), Some(last)) = (exemplars.is_empty(), place, last) {
            let start = start + 1;
            let end = exposition
                .get(last + 1..)
                .and_then(|rest| rest.find('\n'))
                .map_or(exposition.len(), |at| last + 1 + at);
            let named = exposition.get(start..end).map(|lines| with_exemplars(lines, &exemplars)).unwrap_or_default();
            exposition.replace_range(start..end, &named);
        }
        Ok(exposition)
    }
}

/// The lines with the exemplars of those series that have one.
fn with_exemplars(lines: &str, exemplars: &HashMap<&str, &str>) -> String {
    let named = lines.lines().map(|line| {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        exemplars.get(series).map_or_else(|| line.to_owned(), |exemplar| format!("{line}{MARK}{exemplar}"))
    });
    named.collect::<Vec<_>>().join("\n")
}

/// Series and exemplar of a sample's line; `None` where there is no exemplar. No label of a handshake holds a `#`.
fn exemplar(line: &str) -> Option<(&str, &str)> {
    let (sample, exemplar) = line.split_once(MARK)?;
    let (series, _count) = sample.rsplit_once(' ')?;
    Some((series, exemplar))
}

/// What stands between a sample and its exemplar (OpenMetrics 1.0, `exemplar` of the ABNF).
const MARK: &str = " # ";
