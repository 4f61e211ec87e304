//! Maps calls and runs to OpenTelemetry spans: a pure mapping.
//!
//! A finished [`crate::record::Call`] or [`crate::record::CascadeRun`] enters, with its place in a
//! trace; the SDK's [`SpanData`]s leave. Names of attributes stand in [`super::genai::attribute`].
//! No span holds a prompt, a completion, a header or a query.

mod call;
mod run;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::otlp::scope;
use crate::record::{Cost, FiniteNumber, TraceContext};

pub use call::{handshakes, of_call};
pub use run::{of_run, of_subagent};

/// A span at its place in a trace, without name, times and content. All spans are sampled that are
/// made here.
fn span_at(place: &TraceContext) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(place.trace.to_bytes()),
            SpanId::from_bytes(place.span.to_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: place.parent.map_or(SpanId::INVALID, |parent| {
            SpanId::from_bytes(parent.to_bytes())
        }),
        parent_span_is_remote: place.parent.is_some() && place.has_remote_parent,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: UNIX_EPOCH,
        end_time: UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope(),
    }
}

/// The status of what ended in this failure, named as `error.type` has it.
fn status(error: Option<&'static str>) -> Status {
    error.map_or(Status::Unset, Status::error)
}

/// Events of a span, in the order of time.
fn events(events: impl IntoIterator<Item = Event>) -> SpanEvents {
    let mut all = SpanEvents::default();
    all.events.extend(events);
    all
}

/// What becomes the value of an attribute.
trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        self.to_owned().into()
    }
}

impl IntoValue for Vec<String> {
    fn into_value(self) -> Value {
        let texts = self.into_iter().map(StringValue::from).collect();
        Value::Array(Array::String(texts))
    }
}

impl IntoValue for bool {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl IntoValue for FiniteNumber {
    fn into_value(self) -> Value {
        self.get().into()
    }
}

impl IntoValue for i64 {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl IntoValue for u16 {
    fn into_value(self) -> Value {
        i64::from(self).into()
    }
}

impl IntoValue for u64 {
    /// Saturates: OTLP has no larger numbers.
    fn into_value(self) -> Value {
        i64::try_from(self).unwrap_or(i64::MAX).into()
    }
}

impl IntoValue for Duration {
    /// In seconds.
    fn into_value(self) -> Value {
        self.as_secs_f64().into()
    }
}

impl IntoValue for Cost {
    /// In US dollars.
    fn into_value(self) -> Value {
        self.usd().into()
    }
}

/// A builder of attributes: unknown values are left out.
#[derive(Debug, Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, name: &'static str, value: impl IntoValue) -> &mut Self {
        self.0.push(KeyValue::new(name, value.into_value()));
        self
    }

    fn put_known(&mut self, name: &'static str, value: Option<impl IntoValue>) -> &mut Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }
}

/// The first content-bearing event of an answer. The GenAI convention has no name for it.
pub const FIRST_CHUNK: &str = "gravimeter.first_chunk";

/// The provider's refusal for quota, rate or capacity.
pub const RATE_LIMIT: &str = "gravimeter.rate_limit";

/// `start` plus a duration; saturates.
fn after(start: SystemTime, duration: Duration) -> SystemTime {
    start.checked_add(duration).unwrap_or(start)
}

#[cfg(test)]
mod tests;
