//! Converts our resource and spans to OTLP messages.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, SpanFlags, Status, span, status,
};

use super::Config;
use crate::export::genai::{CONVENTION, SCHEMA_URL, attribute};
use crate::export::spans::{Attribute, Event, Kind, Parent, Scope, Span, Value};

/// The resource that describes this process in all exports.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource(pub(super) resource::Resource);

impl Resource {
    /// With an instance id of its own. What the operator says wins over what is known here.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        let mut attributes = config.resource.clone();
        let named = attributes.remove(SERVICE_NAME);
        let name = config
            .service_name
            .clone()
            .or(named)
            .unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        attributes.insert(SERVICE_NAME.to_owned(), name);
        for (name, value) in [
            ("host.name", host),
            ("service.instance.id", uuid::Uuid::new_v4().to_string()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ] {
            attributes.entry(name.to_owned()).or_insert(value);
        }
        let attributes = attributes
            .iter()
            .map(|(name, value)| text(name, value))
            .collect();
        Self(resource::Resource {
            attributes,
            ..resource::Resource::default()
        })
    }
}

const SERVICE_NAME: &str = "service.name";

/// One request with all of the spans.
pub(super) fn request(resource: &Resource, spans: &[Span]) -> ExportTraceServiceRequest {
    let scope_spans = [Scope::Record, Scope::Diagnostics]
        .into_iter()
        .filter_map(|of| in_scope(of, spans))
        .collect();
    let resource = Some(resource.0.clone());
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource,
            scope_spans,
            schema_url: String::new(),
        }],
    }
}

/// The spans of a scope; `None` when there are none.
fn in_scope(of: Scope, spans: &[Span]) -> Option<ScopeSpans> {
    let spans: Vec<_> = spans
        .iter()
        .filter(|span| span.scope == of)
        .map(message)
        .collect();
    let (scope, schema_url) = match of {
        Scope::Diagnostics => {
            let scope = InstrumentationScope {
                name: DIAGNOSTICS.to_owned(),
                attributes: Vec::new(),
                ..scope()
            };
            (scope, "")
        }
        Scope::Record => (scope(), SCHEMA_URL),
    };
    (!spans.is_empty()).then(|| ScopeSpans {
        scope: Some(scope),
        spans,
        schema_url: schema_url.to_owned(),
    })
}

/// The scope of Gravimeter's own work, so that a collector can distinguish it from what the agent
/// does.
const DIAGNOSTICS: &str = "gravimeter.diagnostics";

/// What has made it, and by which state of the convention.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        attributes: vec![text(attribute::CONVENTION, CONVENTION)],
        dropped_attributes_count: 0,
    }
}

fn message(span: &Span) -> opentelemetry_proto::tonic::trace::v1::Span {
    opentelemetry_proto::tonic::trace::v1::Span {
        trace_id: span.trace.to_bytes().to_vec(),
        span_id: span.id.to_bytes().to_vec(),
        parent_span_id: span
            .parent
            .map(|parent| parent.id.to_bytes().to_vec())
            .unwrap_or_default(),
        flags: flags(span.parent),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Client => span::SpanKind::Client,
            Kind::Internal => span::SpanKind::Internal,
        }
        .into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: span.attributes.iter().map(key_value).collect(),
        events: span.events.iter().map(event).collect(),
        status: span.error.map(|error| Status {
            message: error.to_owned(),
            code: status::StatusCode::Error.into(),
        }),
        ..Default::default()
    }
}

/// The trace flags, "sampled" always being set of what is exported, and whether the parent is
/// another process's.
fn flags(parent: Option<Parent>) -> u32 {
    let has_is_remote = SpanFlags::ContextHasIsRemoteMask as u32;
    let is_remote = parent
        .is_some_and(|parent| parent.is_remote)
        .then_some(SpanFlags::ContextIsRemoteMask as u32);
    SAMPLED | has_is_remote | is_remote.unwrap_or(0)
}

/// W3C Trace Context, `trace-flags`.
const SAMPLED: u32 = 1;

fn event(event: &Event) -> span::Event {
    span::Event {
        time_unix_nano: nanos(event.at),
        name: event.name.to_owned(),
        attributes: event.attributes.iter().map(key_value).collect(),
        dropped_attributes_count: 0,
    }
}

fn key_value((name, value): &Attribute) -> KeyValue {
    let plain = |text: &String| any_value::Value::StringValue(text.clone());
    let value = match value {
        Value::Bool(is) => any_value::Value::BoolValue(*is),
        Value::Double(number) => any_value::Value::DoubleValue(*number),
        Value::Int(count) => any_value::Value::IntValue(*count),
        Value::Text(text) => plain(text),
        Value::Texts(texts) => any_value::Value::ArrayValue(ArrayValue {
            values: texts
                .iter()
                .map(|text| AnyValue {
                    value: Some(plain(text)),
                })
                .collect(),
        }),
    };
    KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(super) fn text(name: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// 0, which stands for "unknown", before 1970 and after 2554.
pub(super) fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}
