//! Writes metric families as text: OpenMetrics 1.0.0, or Prometheus 0.0.4. Pure.
//!
//! The metrics library writes OpenMetrics only, and neither start times nor, of histograms with
//! native buckets, exemplars; promtool and old scrapers read nothing but 0.0.4. So both are made
//! from the data model that protobuf is made from, and all three forms have the same samples.

use std::fmt::{self, Display, Formatter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    Counter, Exemplar, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// Writes OpenMetrics 1.0.0; with a `_created` sample for each series that has a start time, if
/// asked for.
///
/// # Errors
/// Never: a `String` takes everything.
pub(super) fn open_metrics(
    families: &[MetricFamily],
    created_timestamps: bool,
) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for family in families {
        let (name, kind) = match family.r#type() {
            MetricType::Counter => (stem(family, "_total"), "counter"),
            MetricType::Gauge if family.name.ends_with(INFO) => (stem(family, INFO), "info"),
            MetricType::Gauge => (family.name.as_str(), "gauge"),
            MetricType::Histogram => (family.name.as_str(), "histogram"),
            MetricType::GaugeHistogram | MetricType::Summary | MetricType::Untyped => {
                (family.name.as_str(), "unknown")
            }
        };
        writeln!(out, "# HELP {name} {}", family.help)?;
        writeln!(out, "# TYPE {name} {kind}")?;
        if !family.unit.is_empty() {
            writeln!(out, "# UNIT {name} {}", family.unit)?;
        }
        for metric in &family.metric {
            samples(&mut out, &family.name, metric, true)?;
            if created_timestamps && let Some(started_at) = started_at(metric) {
                let series = Series::new(name, "_created", &metric.label);
                writeln!(out, "{series} {}", Float(unix_seconds(started_at)))?;
            }
        }
    }
    out.push_str("# EOF\n");
    Ok(out)
}

/// Writes Prometheus text 0.0.4: without units and exemplars.
///
/// # Errors
/// Never: a `String` takes everything.
pub(super) fn plain(families: &[MetricFamily]) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for family in families {
        let kind = match family.r#type() {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram | MetricType::Summary | MetricType::Untyped => "untyped",
        };
        writeln!(out, "# HELP {} {}", family.name, family.help)?;
        writeln!(out, "# TYPE {} {kind}", family.name)?;
        for metric in &family.metric {
            samples(&mut out, &family.name, metric, false)?;
        }
    }
    Ok(out)
}

/// What an info metric's sample is called after.
const INFO: &str = "_info";

/// The name of an OpenMetrics family whose samples have the suffix.
fn stem<'a>(family: &'a MetricFamily, suffix: &str) -> &'a str {
    family.name.strip_suffix(suffix).unwrap_or(&family.name)
}

fn samples(out: &mut String, name: &str, metric: &Metric, exemplars: bool) -> fmt::Result {
    if let Some(histogram) = &metric.histogram {
        return buckets(out, name, &metric.label, histogram, exemplars);
    }
    let counter = metric.counter.as_ref().map(|counter| counter.value);
    let gauge = metric.gauge.as_ref().map(|gauge| gauge.value);
    let untyped = metric.untyped.as_ref().map(|untyped| untyped.value);
    let Some(value) = counter.or(gauge).or(untyped) else {
        return Ok(());
    };
    write!(
        out,
        "{} {}",
        Series::new(name, "", &metric.label),
        Number(value)
    )?;
    let exemplar = metric
        .counter
        .as_ref()
        .and_then(|Counter { exemplar, .. }| exemplar.as_ref());
    end_of_line(out, exemplar.filter(|_| exemplars))
}

fn buckets(
    out: &mut String,
    name: &str,
    labels: &[LabelPair],
    histogram: &Histogram,
    exemplars: bool,
) -> fmt::Result {
    let (sum, count) = (Float(histogram.sample_sum), histogram.sample_count);
    writeln!(out, "{} {sum}", Series::new(name, "_sum", labels))?;
    writeln!(out, "{} {count}", Series::new(name, "_count", labels))?;
    for bucket in &histogram.bucket {
        let series = Series {
            le: Some(bucket.upper_bound),
            ..Series::new(name, "_bucket", labels)
        };
        write!(out, "{series} {}", bucket.cumulative_count)?;
        end_of_line(out, bucket.exemplar.as_ref().filter(|_| exemplars))?;
    }
    Ok(())
}

fn end_of_line(out: &mut String, exemplar: Option<&Exemplar>) -> fmt::Result {
    if let Some(exemplar) = exemplar {
        let labels = Labels(None, &exemplar.label);
        write!(out, " # {{{labels}}} {}", Float(exemplar.value))?;
        if let Some(at) = exemplar.timestamp.and_then(|at| at.try_into().ok()) {
            write!(out, " {}", Float(unix_seconds(at)))?;
        }
    }
    out.write_char('\n')
}

/// The time from which a counter or histogram counts.
fn started_at(metric: &Metric) -> Option<SystemTime> {
    let counter = metric.counter.as_ref().and_then(|it| it.start_timestamp);
    let histogram = metric.histogram.as_ref().and_then(|it| it.start_timestamp);
    counter.or(histogram)?.try_into().ok()
}

fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// The name and labels of a sample.
struct Series<'a> {
    name: &'a str,
    suffix: &'static str,
    le: Option<f64>,
    labels: &'a [LabelPair],
}

impl<'a> Series<'a> {
    fn new(name: &'a str, suffix: &'static str, labels: &'a [LabelPair]) -> Self {
        Self {
            name,
            suffix,
            le: None,
            labels,
        }
    }
}

impl Display for Series<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            suffix,
            le,
            labels,
        } = *self;
        write!(f, "{name}{suffix}")?;
        if le.is_none() && labels.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", Labels(le, labels))
    }
}

/// The upper boundary of a bucket, if it is one, and the labels of a series.
struct Labels<'a>(Option<f64>, &'a [LabelPair]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(le, labels) = *self;
        let mut separator = "";
        if let Some(le) = le {
            write!(f, "le=\"{}\"", Float(le))?;
            separator = ",";
        }
        for label in labels {
            write!(f, "{separator}{}=\"", label.name)?;
            escape(f, &label.value)?;
            f.write_char('"')?;
            separator = ",";
        }
        Ok(())
    }
}

fn escape(f: &mut Formatter<'_>, value: &str) -> fmt::Result {
    for part in value.split_inclusive(['\\', '"', '\n']) {
        let mut clean = part.chars();
        let escaped = match clean.next_back() {
            Some('\\') => "\\\\",
            Some('"') => "\\\"",
            Some('\n') => "\\n",
            _ => {
                f.write_str(part)?;
                continue;
            }
        };
        f.write_str(clean.as_str())?;
        f.write_str(escaped)?;
    }
    Ok(())
}

/// A number as a count may be written: without a point where it is whole.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        write!(f, "{value}")
    }
}

/// A number with a point, as OpenMetrics wants the boundaries of buckets ("Canonical Numbers").
struct Float(f64);

impl Display for Float {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        let is_whole = value.is_finite() && value.fract() == 0.0;
        write!(f, "{}{}", Number(value), if is_whole { ".0" } else { "" })
    }
}
