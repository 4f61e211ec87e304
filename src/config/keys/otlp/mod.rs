//! Keys of `[otlp]`: the OpenTelemetry collector. Those of one signal alone are in the files below.

mod metrics;
mod traces;

use crate::export::otlp::{Compression, Protocol, Sampler};

use super::{DefaultValue, Key, Kind, put};

pub(super) use metrics::KEYS as METRICS;
pub(super) use traces::KEYS as TRACES;

/// The collector, for both signals.
pub(super) const COLLECTOR: &[Key] = &[
    Key {
        name: "otlp.endpoint",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:4317""#,
            means: "nothing is traced",
        },
        help: "The OpenTelemetry collector that gets a span for each run, call and new connection.\n\
               For HTTP, /v1/traces is added where the URL has no path. Also: OTEL_EXPORTER_OTLP_ENDPOINT, to whose path\n\
               /v1/traces and /v1/metrics are added; for gRPC it may lack its scheme, and OTEL_EXPORTER_OTLP_INSECURE (\"true\")\n\
               says that TLS is not spoken then.",
        set: |raw, value| put(&mut raw.otlp.endpoint, value.collector().map(Some)),
    },
    Key {
        name: "otlp.enabled",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether spans are exported, where there is an endpoint. Also: OTEL_TRACES_EXPORTER (\"none\": false),\n\
               OTEL_SDK_DISABLED.",
        set: |raw, value| put(&mut raw.otlp.enabled, value.switch()),
    },
    Key {
        name: "otlp.protocol",
        kind: Kind::Choice(&["auto", "grpc", "http/protobuf"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "What the collector speaks. \"auto\": gRPC on port 4317, protobuf over HTTP on any other.\n\
               Also: OTEL_EXPORTER_OTLP_PROTOCOL.",
        set: |raw, value| put(&mut raw.otlp.protocol, value.choice(&PROTOCOLS)),
    },
    Key {
        name: "otlp.headers",
        kind: Kind::SecretTable,
        default: DefaultValue::Is("{}"),
        help: "Fields for each request to the collector, such as its token. Secrets: better given as a variable.\n\
               They go to otlp.endpoint. A signal with an endpoint at another host gets them only where both are said by\n\
               OpenTelemetry's variables, which have it so. Also: OTEL_EXPORTER_OTLP_HEADERS.",
        set: |raw, value| put(&mut raw.otlp.headers, value.headers()),
    },
    Key {
        name: "otlp.compression",
        kind: Kind::Choice(&["none", "gzip"]),
        default: DefaultValue::Is(r#""none""#),
        help: "How requests to the collector are packed.\n\
               Also: OTEL_EXPORTER_OTLP_COMPRESSION.",
        set: |raw, value| put(&mut raw.otlp.compression, value.choice(&COMPRESSIONS)),
    },
    Key {
        name: "otlp.ca_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/ssl/collector.pem""#,
            means: "the system's roots vouch for it",
        },
        help: "PEM file of the certificate authorities that may vouch for the collector, and no others.\n\
               Also: OTEL_EXPORTER_OTLP_CERTIFICATE.",
        set: |raw, value| put(&mut raw.otlp.ca_file, value.path().map(Some)),
    },
    Key {
        name: "otlp.client_certificate",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.pem""#,
            means: "the collector is shown none",
        },
        help: "PEM file of the certificate by which the collector knows us, with its chain; otlp.client_key has its key.\n\
               Also: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE.",
        set: |raw, value| put(&mut raw.otlp.client_certificate, value.path().map(Some)),
    },
    Key {
        name: "otlp.client_key",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.key""#,
            means: "the collector is shown no certificate",
        },
        help: "PEM file of the key of otlp.client_certificate.\n\
               Also: OTEL_EXPORTER_OTLP_CLIENT_KEY.",
        set: |raw, value| put(&mut raw.otlp.client_key, value.path().map(Some)),
    },
    Key {
        name: "otlp.timeout",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "How long one request to the collector may take.\n\
               Also, in milliseconds: OTEL_EXPORTER_OTLP_TIMEOUT.",
        set: |raw, value| put(&mut raw.otlp.timeout, value.duration()),
    },
    Key {
        name: "otlp.give_up_after",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "How long a batch is tried again while the collector is away or busy; then it is dropped and counted.\n\
               Also, in milliseconds: OTEL_BSP_EXPORT_TIMEOUT.",
        set: |raw, value| put(&mut raw.otlp.give_up_after, value.duration()),
    },
    Key {
        name: "otlp.flush_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5s""#),
        help: "How long a span waits at most for others to go with. Also, in milliseconds: OTEL_BSP_SCHEDULE_DELAY.",
        set: |raw, value| put(&mut raw.otlp.flush_interval, value.duration()),
    },
    Key {
        name: "otlp.queue",
        kind: Kind::Number,
        default: DefaultValue::Is("2048"),
        help: "How many spans may wait; more are dropped and counted. Also: OTEL_BSP_MAX_QUEUE_SIZE.",
        set: |raw, value| put(&mut raw.otlp.queue, value.number(1..=1_000_000)),
    },
    Key {
        name: "otlp.batch",
        kind: Kind::Number,
        default: DefaultValue::Is("512"),
        help: "How many spans go in one request at most. Also: OTEL_BSP_MAX_EXPORT_BATCH_SIZE.",
        set: |raw, value| put(&mut raw.otlp.batch, value.number(1..=10_000)),
    },
    Key {
        name: "otlp.sampler",
        kind: Kind::Choice(&[
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ]),
        default: DefaultValue::Is(r#""parentbased_always_on""#),
        help: "Which traces are recorded, in OpenTelemetry's words. With \"parentbased_\", what the agent says in its request\n\
               (traceparent) decides over traces that began with it. Also: OTEL_TRACES_SAMPLER.",
        set: |raw, value| put(&mut raw.otlp_sampler, value.choice(&Sampler::WORDS)),
    },
    Key {
        name: "otlp.sampler_ratio",
        kind: Kind::Fraction,
        default: DefaultValue::Is("1.0"),
        help: "The share of traces that is recorded by the samplers with \"traceidratio\". Also: OTEL_TRACES_SAMPLER_ARG.",
        set: |raw, value| put(&mut raw.otlp_sampler_ratio, value.fraction()),
    },
    Key {
        name: "otlp.service_name",
        kind: Kind::Text,
        default: DefaultValue::Unset {
            example: r#""gravimeter""#,
            means: "service.name of otlp.resource, or \"gravimeter\"",
        },
        help: "The name under which the collector knows this program. Also: OTEL_SERVICE_NAME.",
        set: |raw, value| put(&mut raw.otlp.service_name, value.text().map(Some)),
    },
    Key {
        name: "otlp.resource",
        kind: Kind::Table,
        default: DefaultValue::Is("{}"),
        help: "What else the collector is told of this program, such as { \"deployment.environment.name\" = \"test\" }.\n\
               Also: OTEL_RESOURCE_ATTRIBUTES.",
        set: |raw, value| put(&mut raw.otlp.resource, value.table()),
    },
];

/// What Gravimeter says of itself there.
pub(super) const DIAGNOSTICS: &[Key] = &[Key {
    name: "otlp.diagnostics",
    kind: Kind::Switch,
    default: DefaultValue::Is("false"),
    help: "Whether the collector also gets spans of what Gravimeter itself does with each connection: to find out where a\n\
               connection's time goes. Some eight spans a connection, in the same queue as those of calls; what they cost stands in\n\
               docs/performance.md. The share of otlp.sampler holds for them, too.",
    set: |raw, value| put(&mut raw.otlp.diagnostics, value.switch()),
}];

/// How requests to a collector are packed, in OpenTelemetry's words.
const COMPRESSIONS: [(&str, Compression); 2] =
    [("none", Compression::None), ("gzip", Compression::Gzip)];

/// What a collector may speak, in OpenTelemetry's words and one of ours.
const PROTOCOLS: [(&str, Protocol); 3] = [
    ("auto", Protocol::Auto),
    ("grpc", Protocol::Grpc),
    ("http/protobuf", Protocol::HttpProtobuf),
];
