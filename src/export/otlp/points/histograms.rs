//! Converts histograms to points: with the native buckets, or with the classic ones.

use std::time::SystemTime;

use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint,
    exemplar, metric,
};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as prometheus;

use super::exponential::BucketCounts;
use super::{Period, attributes, nanos};
use crate::export::otlp::HistogramAggregation;

/// In the form that is configured, if the first one has it.
pub(super) fn histograms(
    family: &prometheus::MetricFamily,
    first: &prometheus::Histogram,
    period: &Period<'_>,
) -> metric::Data {
    let is_native = BucketCounts::of(first).is_some();
    match period.histograms {
        HistogramAggregation::Exponential if is_native => {
            metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: family
                    .metric
                    .iter()
                    .filter_map(|metric| exponential(family, metric, period))
                    .collect(),
                aggregation_temporality: period.temporality(),
            })
        }
        _ => metric::Data::Histogram(Histogram {
            data_points: family
                .metric
                .iter()
                .filter_map(|metric| explicit(family, metric, period))
                .collect(),
            aggregation_temporality: period.temporality(),
        }),
    }
}

/// With the native buckets; without minimum and maximum, which are not known.
fn exponential(
    family: &prometheus::MetricFamily,
    metric: &prometheus::Metric,
    period: &Period<'_>,
) -> Option<ExponentialHistogramDataPoint> {
    let histogram = metric.histogram.as_ref()?;
    let now = BucketCounts::of(histogram)?;
    let before = period.since.before(&family.name, metric);
    let added = before.native.and_then(|native| now.since(&native));
    let (added, sum) = match added {
        Some(added) => (added, histogram.sample_sum - before.sum),
        // A new series, or one that has begun anew.
        None => (now, histogram.sample_sum),
    };
    let exemplars = histogram.exemplars.iter();
    Some(ExponentialHistogramDataPoint {
        attributes: attributes(family, metric),
        start_time_unix_nano: nanos(period.since.at),
        time_unix_nano: nanos(period.now),
        sum: Some(sum),
        exemplars: exemplars.filter_map(|it| exemplar(it, period)).collect(),
        ..added.into_point()
    })
}

/// With the classic buckets.
fn explicit(
    family: &prometheus::MetricFamily,
    metric: &prometheus::Metric,
    period: &Period<'_>,
) -> Option<HistogramDataPoint> {
    let histogram = metric.histogram.as_ref()?;
    let before = period.since.before(&family.name, metric);
    let earlier = before.counts.iter().copied().chain(std::iter::repeat(0));
    let added: Vec<_> = counts(histogram)
        .iter()
        .zip(earlier)
        .map(|(now, before)| now.saturating_sub(before))
        .collect();
    let below = std::iter::once(0).chain(added.iter().copied());
    let bucket_counts = added
        .iter()
        .zip(below)
        .map(|(upto, below)| upto.saturating_sub(below))
        .collect();
    let bounds = histogram
        .bucket
        .iter()
        .map(|bucket| bucket.upper_bound)
        .filter(|bound| bound.is_finite());
    let exemplars = histogram
        .bucket
        .iter()
        .filter_map(|bucket| exemplar(bucket.exemplar.as_ref()?, period));
    Some(HistogramDataPoint {
        attributes: attributes(family, metric),
        start_time_unix_nano: nanos(period.since.at),
        time_unix_nano: nanos(period.now),
        count: added.last().copied().unwrap_or(0),
        sum: Some(histogram.sample_sum - before.sum),
        bucket_counts,
        explicit_bounds: bounds.collect(),
        exemplars: exemplars.collect(),
        ..HistogramDataPoint::default()
    })
}

/// `None` for an older one: it was sent with an earlier message.
fn exemplar(given: &prometheus::Exemplar, period: &Period<'_>) -> Option<Exemplar> {
    let label = |name: &str| {
        given
            .label
            .iter()
            .find(|label| label.name == name)
            .map(|label| label.value.as_str())
    };
    let at = given
        .timestamp
        .and_then(|at| SystemTime::try_from(at).ok())?;
    (at >= period.since.at).then_some(())?;
    Some(Exemplar {
        time_unix_nano: nanos(at),
        trace_id: u128::from_str_radix(label("trace_id")?, 16)
            .ok()?
            .to_be_bytes()
            .to_vec(),
        span_id: u64::from_str_radix(label("span_id")?, 16)
            .ok()?
            .to_be_bytes()
            .to_vec(),
        value: Some(exemplar::Value::AsDouble(given.value)),
        filtered_attributes: Vec::new(),
    })
}

/// The number of observations up to each boundary and in all.
pub(super) fn counts(histogram: &prometheus::Histogram) -> Vec<u64> {
    let finite = histogram
        .bucket
        .iter()
        .filter(|bucket| bucket.upper_bound.is_finite());
    finite
        .map(|bucket| bucket.cumulative_count)
        .chain([histogram.sample_count])
        .collect()
}
