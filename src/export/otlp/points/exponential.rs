//! The native buckets of a histogram, as OTLP's exponential histograms have them.
//!
//! Both forms have the same buckets: those of schema `n` are those of scale `n`, and each contains
//! its upper bound. The index of a native bucket counts its upper bound, that of OTLP the lower
//! one, which is one less. Source:
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#exponential-histograms>.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as prometheus;

/// How many values fell into each bucket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BucketCounts {
    schema: i32,
    zero_threshold: f64,
    zeros: u64,
    /// By the index: bucket `n` ends at 2^(n / 2^schema).
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl BucketCounts {
    /// `None` for a histogram that has only classic buckets.
    pub(super) fn of(histogram: &prometheus::Histogram) -> Option<Self> {
        let is_native = histogram.zero_threshold > 0.0
            || !histogram.positive_span.is_empty()
            || !histogram.negative_span.is_empty();
        is_native.then(|| Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zeros: histogram.zero_count,
            positive: buckets(&histogram.positive_span, &histogram.positive_delta),
            negative: buckets(&histogram.negative_span, &histogram.negative_delta),
        })
    }

    /// What was added since `before`, which may have had a higher resolution; `None` if counting
    /// has begun anew since.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        let mut before = before.clone();
        while before.schema > self.schema {
            before.halve_resolution();
        }
        (before.schema == self.schema).then_some(())?;
        Some(Self {
            zeros: self.zeros.checked_sub(before.zeros)?,
            positive: added(&self.positive, &before.positive)?,
            negative: added(&self.negative, &before.negative)?,
            ..*self
        })
    }

    /// A point without attributes, times, sum and exemplars.
    pub(super) fn into_point(mut self) -> ExponentialHistogramDataPoint {
        while self.schema > MIN_SCALE && self.longest() > MAX_BUCKETS {
            self.halve_resolution();
        }
        let counts = self.positive.values().chain(self.negative.values());
        ExponentialHistogramDataPoint {
            count: self.zeros + counts.sum::<u64>(),
            scale: self.schema,
            zero_count: self.zeros,
            zero_threshold: self.zero_threshold,
            positive: dense(&self.positive),
            negative: dense(&self.negative),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    /// Merges each pair of buckets that are one at the next lower schema.
    fn halve_resolution(&mut self) {
        self.schema -= 1;
        for side in [&mut self.positive, &mut self.negative] {
            let mut merged = BTreeMap::new();
            for (index, count) in &*side {
                *merged.entry((index + 1).div_euclid(2)).or_default() += count;
            }
            *side = merged;
        }
    }

    fn longest(&self) -> u32 {
        length(&self.positive).max(length(&self.negative))
    }
}

/// Buckets that are not empty, from sequences of them and the difference of each count from the one
/// before.
fn buckets(spans: &[prometheus::BucketSpan], deltas: &[i64]) -> BTreeMap<i32, u64> {
    let (mut index, mut count) = (0, 0);
    let mut deltas = deltas.iter();
    let mut buckets = BTreeMap::new();
    for span in spans {
        index += span.offset;
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            buckets.extend(u64::try_from(count).ok().map(|count| (index, count)));
            index += 1;
        }
    }
    buckets.retain(|_, count| *count > 0);
    buckets
}

/// `None` if a bucket has lost counts.
fn added(now: &BTreeMap<i32, u64>, before: &BTreeMap<i32, u64>) -> Option<BTreeMap<i32, u64>> {
    let mut added = now.clone();
    for (index, before) in before {
        let count = added.get_mut(index)?;
        *count = count.checked_sub(*before)?;
    }
    added.retain(|_, count| *count > 0);
    Some(added)
}

/// From the first to the last bucket; 0 without one.
fn length(buckets: &BTreeMap<i32, u64>) -> u32 {
    let ends = buckets.first_key_value().zip(buckets.last_key_value());
    ends.map_or(0, |((first, _), (last, _))| last.abs_diff(*first) + 1)
}

/// All buckets from the first to the last, also empty ones.
fn dense(buckets: &BTreeMap<i32, u64>) -> Option<Buckets> {
    let (first, _) = buckets.first_key_value()?;
    let (last, _) = buckets.last_key_value()?;
    let counts = (*first..=*last).map(|index| buckets.get(&index).copied().unwrap_or(0));
    Some(Buckets {
        offset: first - 1,
        bucket_counts: counts.collect(),
    })
}

/// OTLP has no gaps between buckets, so that few values that are far apart take many of them. As many
/// as this, at least 2 KB a point, reach from 10 ms to 11 minutes at the highest resolution that our
/// histograms have; what reaches further is pushed at half of it. Collectors refuse messages of more
/// than 4 MB by default.
const MAX_BUCKETS: u32 = 2_048;

/// The lowest scale that OpenTelemetry's SDKs use.
const MIN_SCALE: i32 = -10;

#[cfg(test)]
mod tests;
