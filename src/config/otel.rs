//! The variables of the OpenTelemetry specification, as settings of our own keys.
//!
//! They are meant for every program of a machine, so they win over the defaults only. Bad values are told like any others.
//! Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::ffi::OsString;

use percent_encoding::percent_decode_str;

use super::given::shape;
use super::keys::{KEYS, Key};
use super::source::{Mistake, Setting, Source};
use super::value::{Part, Value};

/// Reads the settings among `variables`.
pub(super) fn from_variables(variables: &[(OsString, OsString)]) -> (Vec<Setting>, Vec<Mistake>) {
    let (mut settings, mut mistakes) = (Vec::new(), Vec::new());
    for Row { names, key, reads } in ROWS {
        let Some(key) = KEYS.iter().find(|known| known.name == *key) else { continue };
        let Some((name, text)) = names.iter().find_map(|name| Some((*name, given(variables, name)?))) else { continue };
        let source = Source::Variable(name.to_owned());
        match text.to_str().map(|text| reads(key, name, text)) {
            Some(Ok(Some(value))) => settings.push(Setting { key, value, source }),
            Some(Ok(None)) => {}
            Some(Err(message)) => mistakes.push(Mistake::new(source, key.name, message)),
            None => mistakes.push(Mistake::of_place(source, "the value is not UTF-8: write it in UTF-8")),
        }
    }
    (settings, mistakes)
}

/// The specification has an empty variable mean the same as none.
fn given<'a>(variables: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsString> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// Makes a value of a variable's text, knowing key and variable; `None` when the variable says nothing.
type Reads = fn(&Key, &str, &str) -> Result<Option<Value>, &'static str>;

/// One setting: its variables, the most specific first, and its key.
struct Row {
    names: &'static [&'static str],
    key: &'static str,
    reads: Reads,
}

/// Every variable that is read.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| row.names.iter().copied())
}

const ROWS: &[Row] = &[
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"],
        key: "otlp.endpoint",
        reads: |key, name, text| match name.contains("TRACES") {
            true => own_endpoint(key, name, text),
            false => Ok(Some(Value::Text(shared_endpoint(text)))),
        },
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        key: "otlp.protocol",
        reads: plain,
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"],
        key: "otlp.headers",
        reads: decoded,
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"],
        key: "otlp.compression",
        reads: plain,
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"],
        key: "otlp.ca_file",
        reads: plain,
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"],
        key: "otlp.client_certificate",
        reads: plain,
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"],
        key: "otlp.client_key",
        reads: plain,
    },
    Row {
        names: &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
        key: "otlp.timeout",
        reads: milliseconds,
    },
    Row { names: &["OTEL_BSP_EXPORT_TIMEOUT"], key: "otlp.give_up_after", reads: milliseconds },
    Row { names: &["OTEL_BSP_SCHEDULE_DELAY"], key: "otlp.flush_interval", reads: milliseconds },
    Row { names: &["OTEL_BSP_MAX_QUEUE_SIZE"], key: "otlp.queue", reads: plain },
    Row { names: &["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], key: "otlp.batch", reads: plain },
    Row { names: &["OTEL_TRACES_SAMPLER"], key: "otlp.sampler", reads: plain },
    Row { names: &["OTEL_TRACES_SAMPLER_ARG"], key: "otlp.sampler_ratio", reads: plain },
    Row { names: &["OTEL_SERVICE_NAME"], key: "otlp.service_name", reads: plain },
    Row { names: &["OTEL_RESOURCE_ATTRIBUTES"], key: "otlp.resource", reads: decoded },
    Row { names: &["OTEL_TRACES_EXPORTER"], key: "otlp.enabled", reads: |_, _, text| exporter(text) },
    Row { names: &["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"], key: "otlp.metrics_endpoint", reads: own_endpoint },
    Row { names: &["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"], key: "otlp.metrics_protocol", reads: plain },
    Row { names: &["OTEL_EXPORTER_OTLP_METRICS_HEADERS"], key: "otlp.metrics_headers", reads: decoded },
    Row {
        names: &["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"],
        key: "otlp.metrics_temporality",
        reads: |key, name, text| plain(key, name, &text.to_ascii_lowercase()),
    },
    Row { names: &["OTEL_METRIC_EXPORT_INTERVAL"], key: "otlp.metrics_interval", reads: milliseconds },
    Row { names: &["OTEL_METRICS_EXPORTER"], key: "otlp.metrics", reads: |_, _, text| metrics_exporter(text) },
    // Last, so that they win: they turn everything off.
    Row { names: &["OTEL_SDK_DISABLED"], key: "otlp.enabled", reads: disabled },
    Row { names: &["OTEL_SDK_DISABLED"], key: "otlp.metrics", reads: disabled },
];

fn plain(key: &Key, _: &str, text: &str) -> Result<Option<Value>, &'static str> {
    Ok(Some(shape(key, &[text.to_owned()])))
}

fn milliseconds(_: &Key, _: &str, text: &str) -> Result<Option<Value>, &'static str> {
    match text.trim().parse::<u32>() {
        Ok(0) => Err("0 leaves no time at all: write a number of milliseconds without a unit, such as 10000"),
        Ok(number) => Ok(Some(Value::Text(format!("{number}ms")))),
        Err(_) => Err("it is not a number of milliseconds: write it without a unit, such as 10000"),
    }
}

/// `name=value` with commas; names and values with `%` for what is not allowed in them, as W3C Baggage has it.
fn decoded(_: &Key, _: &str, text: &str) -> Result<Option<Value>, &'static str> {
    let wrong = "it is not a list of names and values: write name=value with commas, and %2C for a comma in a value";
    let decode = |text: &str| percent_decode_str(text.trim()).decode_utf8().map(String::from).map_err(|_| wrong);
    let mut parts = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(wrong)?;
        parts.push(Part { name: decode(name)?, value: Value::Text(decode(value)?), line: None });
    }
    Ok(Some(Value::Map(parts)))
}

fn disabled(_: &Key, _: &str, text: &str) -> Result<Option<Value>, &'static str> {
    Ok(text.eq_ignore_ascii_case("true").then_some(Value::Switch(false)))
}

/// A list: `prometheus`, which is always there, may stand beside the push.
fn metrics_exporter(text: &str) -> Result<Option<Value>, &'static str> {
    let words: Vec<_> = text.split(',').map(str::trim).collect();
    match words.iter().all(|word| matches!(*word, "otlp" | "none" | "prometheus")) {
        true => Ok(Some(Value::Switch(words.contains(&"otlp")))),
        false => Err("there is no such exporter here: write otlp, prometheus or none"),
    }
}

fn exporter(text: &str) -> Result<Option<Value>, &'static str> {
    match text {
        "none" => Ok(Some(Value::Switch(false))),
        "otlp" => Ok(None),
        _ => Err("there is no such exporter here: write otlp or none"),
    }
}

/// The very URL of one signal, where nothing behind the port means `/`.
fn own_endpoint(_: &Key, _: &str, text: &str) -> Result<Option<Value>, &'static str> {
    Ok(Some(Value::Text(if path(text).is_none() { format!("{text}/") } else { text.to_owned() })))
}

/// The base for every signal, to which the usual path is added.
fn shared_endpoint(text: &str) -> String {
    match path(text) {
        None => text.to_owned(),
        Some("") => text.trim_end_matches('/').to_owned(),
        Some(_) => format!("{}/v1/traces", text.trim_end_matches('/')),
    }
}

/// Behind the first slash of a URL; `None` where there is none.
fn path(url: &str) -> Option<&str> {
    url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path)
}
