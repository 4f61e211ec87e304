//! Exports Gravimeter's own work as spans, for finding out where a connection's time goes. Off
//! unless it is configured.
//!
//! Spans of `tracing` enter by a layer beside the log; they leave by the queue of the spans of calls,
//! are lost and counted like those, and never waited for. Only spans of one target are
//! looked at, which no library has and nothing on the way to the collector: exporting makes no
//! spans. Of their fields only known names are taken, of their events none.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, SpanData, SpanEvents, SpanLimits, SpanLinks, SpanProcessor,
};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::otlp::{Config, diagnostics_scope};
use super::traces::{Queue, Traces};
use crate::record::diagnostics::{ERROR_TYPE, FIELDS, TARGET};
use crate::record::{HandshakeFailure, Label, RefuseReason};

/// The way of diagnostic spans to the exporter. It begins where the log is started, long before
/// there is an exporter.
#[derive(Debug)]
pub struct Diagnostics {
    outlet: Outlet,
    /// The share of connections that is recorded.
    share: f64,
}

impl Diagnostics {
    /// `None` unless they are asked for, and there is a collector to send them to.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        let is_wanted = config.diagnostics && config.spans().is_some();
        is_wanted.then(|| Self {
            outlet: Outlet::default(),
            share: config.sampling.ratio,
        })
    }

    /// The layer that receives the spans of `tracing`; for one subscriber.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        // Everything that the SDK would otherwise read from the environment is set here.
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                self.share,
            ))))
            .with_span_limits(SpanLimits::default())
            .with_resource(Resource::builder_empty().build())
            .with_span_processor(self.outlet.clone())
            .build();
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer_with_scope(diagnostics_scope()))
            .with_context_activation(false)
            .with_level(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(true)
            .with_filter(
                filter_fn(|of| of.is_span() && of.target() == TARGET)
                    .with_max_level_hint(LevelFilter::INFO),
            )
    }

    /// From now on spans go to the same exporter as those of calls. Earlier ones are lost: there
    /// was no connection yet.
    pub fn connect(&self, traces: &Traces) {
        // A second exporter in the same process has the spans of its own calls only.
        let _ = self.outlet.0.set(traces.queue());
    }
}

/// Takes the SDK's spans and waits for nothing: batches, retries and losses are the exporter's.
#[derive(Debug, Clone, Default)]
struct Outlet(Arc<OnceLock<Queue>>);

impl SpanProcessor for Outlet {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

    fn on_end(&self, data: SpanData) {
        if let Some(queue) = self.0.get() {
            queue.offer([cleaned(data)]);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A span with nothing but what is known to be harmless.
fn cleaned(data: SpanData) -> SpanData {
    let error = data
        .attributes
        .iter()
        .find(|it| it.key.as_str() == ERROR_TYPE)
        .map(|it| failure(&it.value.as_str()));
    SpanData {
        span_kind: SpanKind::Internal,
        attributes: data.attributes.into_iter().filter(is_known).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, Status::error),
        ..data
    }
}

fn is_known(attribute: &KeyValue) -> bool {
    let mut names = FIELDS.into_iter().chain(TIMES);
    names.any(|name| name == attribute.key.as_str())
}

/// The name of a failure, from a closed set; the convention's fallback for any other.
fn failure(word: &str) -> &'static str {
    let reasons = RefuseReason::ALL.iter().map(|reason| reason.as_str());
    let failures = HandshakeFailure::ALL.iter().map(|failure| failure.as_str());
    reasons
        .chain(failures)
        .find(|known| *known == word)
        .unwrap_or("_OTHER")
}

/// How long a span was at work, and how long it waited, in nanoseconds, as `tracing-opentelemetry`
/// calls it.
const TIMES: [&str; 2] = ["busy_ns", "idle_ns"];
