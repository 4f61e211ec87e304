//! Exposition formats: an `Accept` header picks one, a registry is written in it.
//!
//! The metrics library writes OpenMetrics only. Prometheus demands text 0.0.4 as the last resort
//! and promtool reads nothing else, so the second form is made from the first, line by line; the
//! samples of both are the same.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A form in which metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Format {
    /// The exact `Content-Type`: Prometheus 3 refuses a scrape without one that it knows.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Picks the format that an `Accept` header (RFC 9110, section 12.5.1) prefers: the highest weight
/// wins, OpenMetrics on a tie. A header that is missing, malformed or asks for nothing that is
/// spoken here gets [`Format::Text`].
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut best = (Format::Text, 0);
    for range in accept
        .unwrap_or_default()
        .split(',')
        .filter(|range| !range.trim().is_empty())
    {
        let Some((format, weight)) = media_range(range) else {
            return Format::Text;
        };
        let Some(format) = format else { continue };
        if weight > best.1 || (weight == best.1 && weight > 0 && format == Format::OpenMetrics) {
            best = (format, weight);
        }
    }
    best.0
}

/// Writes the registry in the format.
///
/// # Errors
/// [`fmt::Error`] when a metric has no text form (a histogram with native buckets only).
pub fn encode(registry: &Registry, format: Format) -> Result<String, fmt::Error> {
    let mut openmetrics = String::new();
    text::encode(&mut openmetrics, registry)?;
    match format {
        Format::OpenMetrics => Ok(openmetrics),
        Format::Text => to_text(&openmetrics),
    }
}

/// The format that a media range stands for, if any, and its weight in thousandths; `None` when it
/// is malformed.
fn media_range(range: &str) -> Option<(Option<Format>, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    media.split_once('/')?;
    let (mut version, mut weight) = (None, 1000);
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = thousandths(value.trim())?,
            "version" => version = Some(value.trim().trim_matches('"')),
            _ => {}
        }
    }
    let format = match (media.as_str(), version) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Some(Format::OpenMetrics),
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Some(Format::Text),
        _ => None,
    };
    Some((format, weight))
}

/// A weight (RFC 9110, section 12.4.2) in thousandths; `None` when it is malformed.
pub(crate) fn thousandths(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    if !matches!(whole, "0" | "1")
        || fraction.len() > 3
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let weight = format!("{whole}{fraction:0<3}").parse().ok()?;
    (weight <= 1000).then_some(weight)
}

/// OpenMetrics to text 0.0.4: metadata carries the name of the sample instead of the family, `info`
/// becomes a gauge, units, exemplars and the end mark go.
fn to_text(openmetrics: &str) -> Result<String, fmt::Error> {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            metadata(&mut out, rest, help)?;
        } else if !line.starts_with('#') {
            writeln!(out, "{}", without_exemplar(line))?;
        }
    }
    Ok(out)
}

/// Writes HELP and TYPE of a family, whose help line came before its type was known.
fn metadata(out: &mut String, name_and_type: &str, name_and_help: &str) -> fmt::Result {
    let (family, kind) = name_and_type.split_once(' ').ok_or(fmt::Error)?;
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        kind => ("", kind),
    };
    if let Some((_, help)) = name_and_help.split_once(' ') {
        writeln!(out, "# HELP {family}{suffix} {help}")?;
    }
    writeln!(out, "# TYPE {family}{suffix} {kind}")
}

/// A sample line up to its value and timestamp. A label's value may itself hold what an exemplar
/// begins with, so the search starts behind the labels. Those follow the name at once; a brace
/// behind a space is the exemplar's.
fn without_exemplar(line: &str) -> &str {
    let name_len = line.find(['{', ' ']).unwrap_or(line.len());
    let behind_name = line.get(name_len..).unwrap_or_default();
    let behind_labels = if behind_name.starts_with('{') {
        name_len + labels_len(behind_name)
    } else {
        name_len
    };
    match line.get(behind_labels..).and_then(|rest| rest.find(" # ")) {
        Some(at) => line.get(..behind_labels + at).unwrap_or(line),
        None => line,
    }
}

/// The length of `{...}` at the start of the text; a brace, a quote or a backslash inside a quoted
/// value does not count.
fn labels_len(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return at + 1,
            _ => {}
        }
    }
    text.len()
}
