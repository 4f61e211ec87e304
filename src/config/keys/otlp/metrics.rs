//! Keys of `[otlp]` for metrics alone.

use super::super::{DefaultValue, Key, Kind, put};
use super::{COMPRESSIONS, PROTOCOLS};
use crate::export::otlp::{HistogramAggregation, Temporality};

pub(in crate::config::keys) const KEYS: &[Key] = &[
    Key {
        name: "otlp.metrics",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the metrics of /metrics are pushed as well, for where nobody can scrape.\n\
               Also: OTEL_METRICS_EXPORTER (\"otlp\": true), OTEL_SDK_DISABLED.",
        set: |raw, value| put(&mut raw.otlp.metrics.enabled, value.switch()),
    },
    Key {
        name: "otlp.metrics_endpoint",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:9090/api/v1/otlp/v1/metrics""#,
            means: "they go to otlp.endpoint",
        },
        help: "Where metrics are pushed to, where it is not where the spans go. For HTTP, /v1/metrics is added where the URL\n\
               has no path. Also: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT.",
        set: |raw, value| {
            put(
                &mut raw.otlp.metrics.own.endpoint,
                value.collector().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_protocol",
        kind: Kind::Choice(&["auto", "grpc", "http/protobuf"]),
        default: DefaultValue::Unset {
            example: r#""http/protobuf""#,
            means: "as otlp.protocol",
        },
        help: "What the collector of metrics speaks. Also: OTEL_EXPORTER_OTLP_METRICS_PROTOCOL.",
        set: |raw, value| {
            put(
                &mut raw.otlp.metrics.own.protocol,
                value.choice(&PROTOCOLS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_headers",
        kind: Kind::SecretTable,
        default: DefaultValue::Unset {
            example: r#"{ "Authorization" = "Bearer ..." }"#,
            means: "as otlp.headers",
        },
        help: "Fields for each request to the collector of metrics, in place of otlp.headers. Also: OTEL_EXPORTER_OTLP_METRICS_HEADERS.",
        set: |raw, value| put(&mut raw.otlp.metrics.own.headers, value.headers().map(Some)),
    },
    Key {
        name: "otlp.metrics_compression",
        kind: Kind::Choice(&["none", "gzip"]),
        default: DefaultValue::Unset {
            example: r#""gzip""#,
            means: "as otlp.compression",
        },
        help: "How requests with metrics are packed.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_COMPRESSION.",
        set: |raw, value| {
            put(
                &mut raw.otlp.metrics.own.compression,
                value.choice(&COMPRESSIONS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_ca_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/ssl/collector.pem""#,
            means: "as otlp.ca_file",
        },
        help: "PEM file of the certificate authorities that may vouch for the collector of metrics.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE.",
        set: |raw, value| put(&mut raw.otlp.metrics.own.ca_file, value.path().map(Some)),
    },
    Key {
        name: "otlp.metrics_client_certificate",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.pem""#,
            means: "as otlp.client_certificate",
        },
        help: "PEM file of the certificate by which the collector of metrics knows us, with its chain.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE.",
        set: |raw, value| {
            put(
                &mut raw.otlp.metrics.own.client_certificate,
                value.path().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_client_key",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.key""#,
            means: "as otlp.client_key",
        },
        help: "PEM file of its key.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY.",
        set: |raw, value| put(&mut raw.otlp.metrics.own.client_key, value.path().map(Some)),
    },
    Key {
        name: "otlp.metrics_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Unset {
            example: r#""10s""#,
            means: "as otlp.timeout",
        },
        help: "How long one request with metrics may take.\n\
               Also, in milliseconds: OTEL_EXPORTER_OTLP_METRICS_TIMEOUT.",
        set: |raw, value| {
            put(
                &mut raw.otlp.metrics.own.timeout,
                value.duration().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_temporality",
        kind: Kind::Choice(&["cumulative", "delta", "lowmemory"]),
        default: DefaultValue::Is(r#""cumulative""#),
        help: "What pushed sums begin with: the start of the program, or the push before (\"delta\", \"lowmemory\").\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE.",
        set: |raw, value| {
            let words = [
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                ("lowmemory", Temporality::Delta),
            ];
            put(&mut raw.otlp.metrics.temporality, value.choice(&words))
        },
    },
    Key {
        name: "otlp.metrics_histograms",
        kind: Kind::Choice(&[
            "base2_exponential_bucket_histogram",
            "explicit_bucket_histogram",
        ]),
        default: DefaultValue::Is(r#""base2_exponential_bucket_histogram""#),
        help: "The buckets of pushed histograms: exponential, which say a quantile to one percent, or explicit, the ones that\n\
               text for a scrape has, for a store that takes no others.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION.",
        set: |raw, value| {
            let words = [
                (
                    "base2_exponential_bucket_histogram",
                    HistogramAggregation::Exponential,
                ),
                ("explicit_bucket_histogram", HistogramAggregation::Explicit),
            ];
            put(&mut raw.otlp.metrics.histograms, value.choice(&words))
        },
    },
    Key {
        name: "otlp.metrics_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""60s""#),
        help: "From one push of metrics to the next. Also, in milliseconds: OTEL_METRIC_EXPORT_INTERVAL.",
        set: |raw, value| put(&mut raw.otlp.metrics.interval, value.duration()),
    },
];
