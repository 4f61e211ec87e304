//! Exposition formats, and which of them a scraper asks for.

/// A form in which metrics are written. The later one is preferred where a scraper has no
/// preference of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// Prometheus protobuf: the only form with native histograms.
    Protobuf,
}

impl Format {
    /// The exact `Content-Type`: Prometheus 3 refuses a scrape without one that it knows.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Picks the format that an `Accept` header (RFC 9110, section 12.5.1) prefers: the highest weight
/// wins; on a tie protobuf, then OpenMetrics. A header that is missing, malformed or asks for
/// nothing that is spoken here gets [`Format::Text`].
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut best = (0, Format::Text);
    for range in accept
        .unwrap_or_default()
        .split(',')
        .filter(|range| !range.trim().is_empty())
    {
        let Some((format, weight)) = media_range(range) else {
            return Format::Text;
        };
        if let Some(format) = format.filter(|_| weight > 0) {
            best = best.max((weight, format));
        }
    }
    best.1
}

/// The format that a media range stands for, if any, and its weight in thousandths; `None` when it
/// is malformed.
fn media_range(range: &str) -> Option<(Option<Format>, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    media.split_once('/')?;
    let (mut version, mut message, mut encoding, mut weight) = (None, None, None, 1000);
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim();
        let unquoted = Some(value.trim_matches('"'));
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = thousandths(value)?,
            "version" => version = unquoted,
            "proto" => message = unquoted,
            "encoding" => encoding = unquoted,
            _ => {}
        }
    }
    let format = match media.as_str() {
        "application/vnd.google.protobuf"
            if (message, encoding) == (Some(MESSAGE), Some("delimited")) =>
        {
            Some(Format::Protobuf)
        }
        "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
            Some(Format::OpenMetrics)
        }
        "text/plain" if matches!(version, None | Some("0.0.4")) => Some(Format::Text),
        "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    };
    Some((format, weight))
}

/// The message of which a protobuf exposition consists.
const MESSAGE: &str = "io.prometheus.client.MetricFamily";

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
