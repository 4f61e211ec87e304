//! Converts the registry's families to an OTLP message. Pure.
//!
//! A [`Baseline`] holds the earlier values of sums and histograms; a message has what was added
//! since. The start of the program is the reading for cumulative sums, the last push that the
//! collector has taken that for deltas.
//!
//! Names are those that a scrape shows without the suffixes of unit and type, which OTLP has fields
//! of its own for: Prometheus puts them on again (`gravimeter_call_duration`, `s` is
//! `gravimeter_call_duration_seconds`). Those of the GenAI convention are the convention's. Source:
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

mod exponential;
mod histograms;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{Key, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric, number_data_point,
};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as prometheus;

use exponential::BucketCounts;
use histograms::{counts, histograms};

use super::{HistogramAggregation, Push, Resource, Temporality, scope};
use crate::export::genai;

/// Values of sums and histograms at one time.
#[derive(Debug)]
pub(super) struct Baseline {
    at: SystemTime,
    series: HashMap<Series, Previous>,
}

/// A family's name and labels.
type Series = (String, Vec<(String, String)>);

/// The earlier value of a sum or histogram.
#[derive(Debug, Clone, Default)]
struct Previous {
    sum: f64,
    /// For a histogram: the number of observations, up to each boundary and in all.
    counts: Vec<u64>,
    native: Option<BucketCounts>,
}

impl Baseline {
    pub(super) fn new(at: SystemTime, families: &[prometheus::MetricFamily]) -> Self {
        let series = families.iter().flat_map(|family| {
            family
                .metric
                .iter()
                .filter_map(|metric| Some((series(&family.name, metric), previous(metric)?)))
        });
        Self {
            at,
            series: series.collect(),
        }
    }

    fn before(&self, family: &str, metric: &prometheus::Metric) -> Previous {
        self.series
            .get(&series(family, metric))
            .cloned()
            .unwrap_or_default()
    }
}

fn series(family: &str, metric: &prometheus::Metric) -> Series {
    (
        family.to_owned(),
        metric
            .label
            .iter()
            .map(|label| (label.name.clone(), label.value.clone()))
            .collect(),
    )
}

fn previous(metric: &prometheus::Metric) -> Option<Previous> {
    if let Some(counter) = &metric.counter {
        return Some(Previous {
            sum: counter.value,
            ..Previous::default()
        });
    }
    metric.histogram.as_ref().map(|histogram| Previous {
        sum: histogram.sample_sum,
        counts: counts(histogram),
        native: BucketCounts::of(histogram),
    })
}

/// The message with all values at `now`, and its number of points.
pub(super) fn message(
    resource: &Resource,
    families: &[prometheus::MetricFamily],
    since: &Baseline,
    now: SystemTime,
    push: &Push,
) -> (ExportMetricsServiceRequest, usize) {
    let period = Period {
        since,
        now: now.max(since.at),
        temporality: push.temporality,
        histograms: push.histograms,
    };
    let metrics: Vec<_> = families
        .iter()
        .filter_map(|family| metric(family, &period))
        .collect();
    let points = families.iter().map(|family| family.metric.len()).sum();
    let scope_metrics = vec![ScopeMetrics {
        scope: Some((scope(), None).into()),
        metrics,
        schema_url: genai::SCHEMA_URL.to_owned(),
    }];
    let resource = Some((&resource.0).into());
    let resource_metrics = vec![ResourceMetrics {
        resource,
        scope_metrics,
        schema_url: String::new(),
    }];
    (ExportMetricsServiceRequest { resource_metrics }, points)
}

/// The period that a message covers.
struct Period<'a> {
    since: &'a Baseline,
    now: SystemTime,
    temporality: Temporality,
    histograms: HistogramAggregation,
}

impl Period<'_> {
    fn temporality(&self) -> i32 {
        match self.temporality {
            Temporality::Cumulative => AggregationTemporality::Cumulative,
            Temporality::Delta => AggregationTemporality::Delta,
        }
        .into()
    }
}

/// `None` for a family without a series.
fn metric(family: &prometheus::MetricFamily, period: &Period<'_>) -> Option<Metric> {
    let first = family.metric.first()?;
    let data = if first.counter.is_some() {
        metric::Data::Sum(Sum {
            data_points: family
                .metric
                .iter()
                .map(|metric| sum(family, metric, period))
                .collect(),
            aggregation_temporality: period.temporality(),
            is_monotonic: true,
        })
    } else if let Some(histogram) = &first.histogram {
        histograms(family, histogram, period)
    } else {
        metric::Data::Gauge(Gauge {
            data_points: family
                .metric
                .iter()
                .map(|metric| gauge(family, metric, period))
                .collect(),
        })
    };
    let (name, unit) = name_and_unit(family);
    Some(Metric {
        name,
        description: family.help.clone(),
        unit,
        metadata: Vec::new(),
        data: Some(data),
    })
}

/// The name without Prometheus's suffixes for unit and type, and the unit by its UCUM code.
fn name_and_unit(family: &prometheus::MetricFamily) -> (String, String) {
    let name = without_total(family);
    if let Some((name, unit)) = genai::metric_of(name) {
        return (name.to_owned(), unit.to_owned());
    }
    let without = |unit: &str| name.strip_suffix(unit).unwrap_or(name).to_owned();
    match family.unit.as_str() {
        "seconds" => (without("_seconds"), "s".to_owned()),
        "bytes" => (without("_bytes"), "By".to_owned()),
        _ => (name.to_owned(), String::new()),
    }
}

fn without_total(family: &prometheus::MetricFamily) -> &str {
    family.name.strip_suffix("_total").unwrap_or(&family.name)
}

fn attributes(family: &prometheus::MetricFamily, metric: &prometheus::Metric) -> Vec<KeyValue> {
    let is_of_convention = genai::metric_of(without_total(family)).is_some();
    let name = |label| {
        if is_of_convention {
            genai::attribute_of(label)
        } else {
            label
        }
    };
    metric
        .label
        .iter()
        .map(|label| text(name(&label.name), &label.value))
        .collect()
}

fn number(
    family: &prometheus::MetricFamily,
    metric: &prometheus::Metric,
    period: &Period<'_>,
    value: f64,
) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(family, metric),
        time_unix_nano: nanos(period.now),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn gauge(
    family: &prometheus::MetricFamily,
    metric: &prometheus::Metric,
    period: &Period<'_>,
) -> NumberDataPoint {
    let untyped = metric.untyped.as_ref().map(|untyped| untyped.value);
    let value = metric
        .gauge
        .as_ref()
        .map(|gauge| gauge.value)
        .or(untyped)
        .unwrap_or(f64::NAN);
    number(family, metric, period, value)
}

fn sum(
    family: &prometheus::MetricFamily,
    metric: &prometheus::Metric,
    period: &Period<'_>,
) -> NumberDataPoint {
    let before = period.since.before(&family.name, metric);
    let now = metric.counter.as_ref().map_or(0.0, |counter| counter.value);
    let point = number(family, metric, period, (now - before.sum).max(0.0));
    NumberDataPoint {
        start_time_unix_nano: nanos(period.since.at),
        ..point
    }
}

fn text(name: &str, value: &str) -> KeyValue {
    (&Key::from(name.to_owned()), &Value::from(value.to_owned())).into()
}

/// 0, which stands for "unknown", before 1970 and after 2554.
fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
