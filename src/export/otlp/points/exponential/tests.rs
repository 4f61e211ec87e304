//! Values are in the same buckets as before, whatever becomes of the resolution.

use prometheus_client::encoding::prometheus_protobuf::encode;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use proptest::collection::vec;
use proptest::strategy::Strategy as _;

use super::*;
use crate::export::native;

fn observed(values: &[f64]) -> Histogram {
    let histogram = native::histogram([1.0]);
    values.iter().for_each(|value| histogram.observe(*value));
    histogram
}

fn read(histogram: &Histogram) -> BucketCounts {
    let mut registry = Registry::default();
    registry.register("h", "H", histogram.clone());
    let families = encode(&registry).expect("the data model");
    let histogram = families[0].metric[0].histogram.as_ref();
    BucketCounts::of(histogram.expect("a histogram")).expect("native buckets")
}

/// How many of these values are in each bucket of the point, by its bounds.
fn expected(point: &ExponentialHistogramDataPoint, values: &[f64]) -> (u64, Vec<u64>) {
    let edge = |index: i32| (f64::from(index) * f64::from(-point.scale).exp2()).exp2();
    let Buckets {
        offset,
        bucket_counts,
    } = point.positive.clone().unwrap_or_default();
    let within = |(index, _): (usize, &u64)| {
        let index = offset + i32::try_from(index).expect("an index");
        let is_within = |value: &&f64| edge(index) < **value && **value <= edge(index + 1);
        values.iter().filter(is_within).count() as u64
    };
    let zeros = values.iter().filter(|value| **value == 0.0).count() as u64;
    (
        zeros,
        bucket_counts.iter().enumerate().map(within).collect(),
    )
}

fn assert_has(point: &ExponentialHistogramDataPoint, values: &[f64]) {
    let buckets = point.positive.clone().unwrap_or_default();
    assert_eq!(
        (point.zero_count, buckets.bucket_counts),
        expected(point, values),
        "{values:?}"
    );
    assert_eq!(point.count, values.len() as u64);
}

#[test]
fn values_are_between_the_bounds_of_their_buckets() {
    let point = read(&observed(&[0.0, 0.75, 0.75, 1.6, 1.6, 30.0])).into_point();
    assert_has(&point, &[0.0, 0.75, 0.75, 1.6, 1.6, 30.0]);
    assert_eq!(point.scale, 7);
    // A power of two ends its bucket in both forms, and no value is in the one above.
    let point = read(&observed(&[1.0, 2.0])).into_point();
    let buckets = point.positive.expect("buckets");
    assert_eq!((buckets.offset, buckets.bucket_counts.len()), (-1, 129));
    assert_eq!(
        (buckets.bucket_counts[0], buckets.bucket_counts[128]),
        (1, 1)
    );
    let none = read(&observed(&[])).into_point();
    assert_eq!((none.count, none.positive), (0, None));
}

#[test]
fn what_was_added_is_right_whatever_the_resolution_was() {
    // Values that no rounding puts on a bound.
    let value = (1_u32..40_000).prop_map(|thousandths| f64::from(thousandths) * 0.001 + 0.000_123);
    proptest::proptest!(crate::seeds::usual(), |(
        first in vec(value.clone(), 0..900),
        second in vec(value, 0..900),
    )| {
        let histogram = observed(&first);
        let before = read(&histogram);
        second.iter().for_each(|value| histogram.observe(*value));
        let now = read(&histogram);
        let added = now.since(&before).expect("more than before");
        assert_has(&added.into_point(), &second);
        assert_has(&now.into_point(), &[first, second].concat());
    });
}

#[test]
fn a_resolution_that_fell_between_two_readings_is_made_up_for() {
    let spread: Vec<f64> = (0..1400)
        .map(|number| 0.001 * (f64::from(number) / 100.0).exp2())
        .collect();
    let (first, second) = spread.split_at(100);
    let histogram = observed(first);
    let before = read(&histogram);
    second.iter().for_each(|value| histogram.observe(*value));
    let now = read(&histogram);
    assert!(
        now.schema < before.schema,
        "{} {}",
        now.schema,
        before.schema
    );
    assert_has(
        &now.since(&before).expect("more than before").into_point(),
        second,
    );
}

#[test]
fn a_histogram_that_has_begun_anew_is_noticed() {
    let before = read(&observed(&[1.5, 1.5, 3.0]));
    for anew in [&[][..], &[0.0], &[1.5], &[1.5, 3.0], &[1.5, 1.5, 7.0]] {
        assert_eq!(read(&observed(anew)).since(&before), None, "{anew:?}");
    }
    let coarser = BucketCounts {
        schema: 3,
        ..before.clone()
    };
    assert_eq!(before.since(&coarser), None, "a resolution only falls");
    let same = before.since(&before).expect("nothing less");
    assert_eq!(same.into_point().count, 0);
}

#[test]
fn buckets_that_are_far_apart_are_pushed_at_a_lower_resolution() {
    let values = [1e-30, 0.7, 1e30];
    let point = read(&observed(&values)).into_point();
    assert!(point.scale < 7);
    let buckets = point.positive.as_ref().expect("buckets");
    assert!(buckets.bucket_counts.len() <= MAX_BUCKETS as usize);
    assert_has(&point, &values);
}

#[test]
fn classic_buckets_alone_are_no_native_ones() {
    assert_eq!(BucketCounts::of(&prometheus::Histogram::default()), None);
}
