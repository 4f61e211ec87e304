//! Quantiles of native histograms are right to one percent.

use prometheus_client::encoding::prometheus_protobuf::encode;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prometheus_client::registry::{Metric, Registry};

use super::*;
use crate::export::series::call_latency;

fn exported(metric: impl Metric) -> model::Histogram {
    let mut registry = Registry::default();
    registry.register("h", "H", metric);
    let families = encode(&registry).unwrap();
    families[0].metric[0].histogram.clone().unwrap()
}

/// The lower and upper boundary and the count of each bucket that is not empty.
fn buckets(histogram: &model::Histogram) -> Vec<(f64, f64, f64)> {
    let growth = f64::from(-histogram.schema).exp2();
    let (mut buckets, mut index, mut count) = (Vec::new(), 0, 0);
    let mut deltas = histogram.positive_delta.iter();
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            let upper = (f64::from(index) * growth).exp2();
            let lower = (f64::from(index - 1) * growth).exp2();
            buckets.push((lower, upper, count as f64));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

/// The quantile as Prometheus 2 interpolates it: linearly inside of the bucket.
fn quantile(histogram: &model::Histogram, q: f64) -> f64 {
    let mut rank = q * histogram.sample_count as f64;
    for (lower, upper, count) in buckets(histogram) {
        if rank <= count {
            return lower + (upper - lower) * rank / count;
        }
        rank -= count;
    }
    f64::NAN
}

#[test]
fn a_quantile_is_right_to_one_percent_however_short_or_long_the_calls() {
    for seconds in [
        1e-6, 50e-6, 0.01, 0.3, 1.0, 7.77, 10.0, 64.0, 420.0, 1800.0, 6553.7,
    ] {
        let calls = call_latency();
        (0..100).for_each(|_| calls.observe(seconds));
        let calls = exported(calls);
        assert_eq!(buckets(&calls).len(), 1);
        for q in [0.01, 0.5, 0.99, 1.0] {
            let error = quantile(&calls, q) / seconds - 1.0;
            assert!(error.abs() < 0.01, "{q} of {seconds}: {error}");
        }
    }
}

/// A series with more different durations than it may have buckets: all between 10 ms and half an
/// hour, each as likely as any other of the same order.
#[test]
fn quantiles_stay_right_to_one_percent_where_the_resolution_was_halved() {
    const CALLS: u32 = 100_000;
    let calls = call_latency();
    let duration = |rank: u32| 0.01 * 180_000_f64.powf(f64::from(rank) / f64::from(CALLS));
    // An order in which no two neighbours follow each other: the factor has no divisor in common.
    for call in 0..u64::from(CALLS) {
        let rank = u32::try_from(call * 61_803 % u64::from(CALLS)).unwrap();
        calls.observe(duration(rank));
    }
    let calls = exported(calls);
    assert_eq!(calls.schema, 5);
    assert!(buckets(&calls).len() <= MAX_BUCKETS);
    for percent in 1..100 {
        let truth = duration(CALLS / 100 * percent);
        let error = quantile(&calls, f64::from(percent) / 100.0) / truth - 1.0;
        assert!(error.abs() < 0.01, "p{percent} of {truth}: {error}");
    }
}

#[test]
fn a_histogram_that_has_seen_nothing_is_a_native_one() {
    let nothing = exported(call_latency());
    assert!(nothing.zero_threshold > 0.0 && nothing.schema == i32::from(SCHEMA));
    assert!(nothing.positive_span.is_empty() && nothing.start_timestamp.is_some());
}
