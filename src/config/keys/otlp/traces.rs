//! Keys of `[otlp]` for spans alone.

use super::super::{DefaultValue, Key, Kind, put};
use super::{COMPRESSIONS, PROTOCOLS};

pub(in crate::config::keys) const KEYS: &[Key] = &[
    Key {
        name: "otlp.traces_endpoint",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:4318/v1/traces""#,
            means: "they go to otlp.endpoint",
        },
        help: "Where spans alone go; metrics do not follow them. For HTTP, /v1/traces is added where the URL has no path.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.",
        set: |raw, value| put(&mut raw.otlp.traces.endpoint, value.collector().map(Some)),
    },
    Key {
        name: "otlp.traces_protocol",
        kind: Kind::Choice(&["auto", "grpc", "http/protobuf"]),
        default: DefaultValue::Unset {
            example: r#""grpc""#,
            means: "as otlp.protocol",
        },
        help: "What the collector of spans speaks.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL.",
        set: |raw, value| {
            put(
                &mut raw.otlp.traces.protocol,
                value.choice(&PROTOCOLS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_headers",
        kind: Kind::SecretTable,
        default: DefaultValue::Unset {
            example: r#"{ "Authorization" = "Bearer ..." }"#,
            means: "as otlp.headers",
        },
        help: "Fields for each request with spans, in place of otlp.headers.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_HEADERS.",
        set: |raw, value| put(&mut raw.otlp.traces.headers, value.headers().map(Some)),
    },
    Key {
        name: "otlp.traces_compression",
        kind: Kind::Choice(&["none", "gzip"]),
        default: DefaultValue::Unset {
            example: r#""gzip""#,
            means: "as otlp.compression",
        },
        help: "How requests with spans are packed.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_COMPRESSION.",
        set: |raw, value| {
            put(
                &mut raw.otlp.traces.compression,
                value.choice(&COMPRESSIONS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_ca_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/ssl/collector.pem""#,
            means: "as otlp.ca_file",
        },
        help: "PEM file of the certificate authorities that may vouch for the collector of spans.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE.",
        set: |raw, value| put(&mut raw.otlp.traces.ca_file, value.path().map(Some)),
    },
    Key {
        name: "otlp.traces_client_certificate",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.pem""#,
            means: "as otlp.client_certificate",
        },
        help: "PEM file of the certificate by which the collector of spans knows us, with its chain.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE.",
        set: |raw, value| {
            put(
                &mut raw.otlp.traces.client_certificate,
                value.path().map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_client_key",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.key""#,
            means: "as otlp.client_key",
        },
        help: "PEM file of its key.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY.",
        set: |raw, value| put(&mut raw.otlp.traces.client_key, value.path().map(Some)),
    },
    Key {
        name: "otlp.traces_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Unset {
            example: r#""10s""#,
            means: "as otlp.timeout",
        },
        help: "How long one request with spans may take.\n\
               Also, in milliseconds: OTEL_EXPORTER_OTLP_TRACES_TIMEOUT.",
        set: |raw, value| put(&mut raw.otlp.traces.timeout, value.duration().map(Some)),
    },
];
