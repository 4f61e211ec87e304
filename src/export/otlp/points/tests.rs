//! Points say what a scrape says, under names that lead back to those of a scrape.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, exemplar,
};

use super::*;
use crate::export::Metrics;
use crate::export::formats::Format;
use crate::export::otlp::Config;
use crate::export::tests::kit::{call, every_fact, exposition, metrics, sampled};
use crate::record::{Call, Fact, Sink as _};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn reading(metrics: &Metrics, seconds: u64) -> Baseline {
    Baseline::new(at(seconds), &metrics.families())
}

/// Everything that was added since `since`, as at 2,000,000,000 s, with explicit buckets.
fn pushed(metrics: &Metrics, since: &Baseline, temporality: Temporality) -> Vec<Metric> {
    let push = Push {
        temporality,
        histograms: HistogramAggregation::Explicit,
        ..Config::default().metrics
    };
    pushed_as(metrics, since, &push)
}

/// The same with exponential buckets, as it is by default.
fn exponentially(metrics: &Metrics, since: &Baseline, temporality: Temporality) -> Vec<Metric> {
    let push = Push {
        temporality,
        ..Config::default().metrics
    };
    pushed_as(metrics, since, &push)
}

fn pushed_as(metrics: &Metrics, since: &Baseline, push: &Push) -> Vec<Metric> {
    let resource = Resource::new(&Config::default());
    let families = metrics.families();
    let (mut message, points) = message(&resource, &families, since, at(2_000_000_000), push);
    let metrics = message
        .resource_metrics
        .remove(0)
        .scope_metrics
        .remove(0)
        .metrics;
    assert_eq!(
        points,
        metrics.iter().map(points_of).sum::<usize>(),
        "every point is counted"
    );
    metrics
}

fn points_of(metric: &Metric) -> usize {
    match metric.data.as_ref().expect("data") {
        metric::Data::Sum(sum) => sum.data_points.len(),
        metric::Data::Gauge(gauge) => gauge.data_points.len(),
        metric::Data::Histogram(histogram) => histogram.data_points.len(),
        metric::Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        other => panic!("{other:?}"),
    }
}

fn of<'a>(pushed: &'a [Metric], name: &str) -> &'a metric::Data {
    pushed
        .iter()
        .find(|metric| metric.name == name)
        .and_then(|metric| metric.data.as_ref())
        .expect(name)
}

/// The one point of a sum that is not 0: its value, and when it begins and ends.
fn counted(pushed: &[Metric], name: &str) -> Vec<(f64, u64, u64)> {
    let metric::Data::Sum(sum) = of(pushed, name) else {
        panic!("{name} is a sum")
    };
    let points = sum.data_points.iter().map(|point| {
        let Some(number_data_point::Value::AsDouble(value)) = point.value else {
            panic!("a number")
        };
        (
            value,
            point.start_time_unix_nano / 1_000_000_000,
            point.time_unix_nano / 1_000_000_000,
        )
    });
    points.filter(|(value, ..)| *value > 0.0).collect()
}

fn observed<'a>(pushed: &'a [Metric], name: &str) -> &'a HistogramDataPoint {
    let metric::Data::Histogram(histogram) = of(pushed, name) else {
        panic!("{name} is a histogram")
    };
    let [point] = &histogram.data_points[..] else {
        panic!("one series")
    };
    point
}

fn observed_exponentially<'a>(
    pushed: &'a [Metric],
    name: &str,
) -> &'a ExponentialHistogramDataPoint {
    let metric::Data::ExponentialHistogram(histogram) = of(pushed, name) else {
        panic!("{name} is an exponential histogram")
    };
    let [point] = &histogram.data_points[..] else {
        panic!("one series")
    };
    point
}

fn called(trace: Option<crate::record::TraceContext>) -> Fact {
    Fact::Call(Box::new(Call { trace, ..call("m") }))
}

/// The rules by which Prometheus makes names of OTLP's.
fn as_prometheus_has_it(metric: &Metric) -> String {
    let mut name = metric.name.replace('.', "_");
    let unit = match metric.unit.as_str() {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    if !name.ends_with(unit) {
        name.push_str(unit);
    }
    if matches!(metric.data, Some(metric::Data::Sum(_))) && !name.ends_with("_total") {
        name.push_str("_total");
    }
    name
}

#[test]
fn names_lead_back_to_those_of_a_scrape() {
    let metrics = metrics();
    let since = reading(&metrics, 0);
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let pushed = pushed(&metrics, &since, Temporality::Cumulative);
    let names: BTreeSet<_> = pushed.iter().map(as_prometheus_has_it).collect();
    let scrape = exposition(&metrics, Format::Text);
    let declared = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let with_series = declared.filter(|name| {
        let is_sample = |line: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        };
        scrape
            .lines()
            .any(|line| !line.starts_with('#') && is_sample(line))
    });
    assert_eq!(names, with_series.map(str::to_owned).collect());
    assert!(pushed.iter().all(|metric| !metric.description.is_empty()));
}

#[test]
fn the_convention_s_metrics_have_the_convention_s_names() {
    let metrics = metrics();
    let since = reading(&metrics, 0);
    metrics.receive(&called(None));
    let pushed = pushed(&metrics, &since, Temporality::Cumulative);
    let metric::Data::Sum(sum) = of(
        &pushed,
        "gen_ai.client.inference.usage.cache_read.input_tokens",
    ) else {
        panic!("a sum")
    };
    let names: Vec<_> = sum.data_points[0]
        .attributes
        .iter()
        .map(|it| it.key.as_str())
        .collect();
    let expected = [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.token.modality",
    ];
    assert_eq!(names, expected);
    let duration = pushed
        .iter()
        .find(|metric| metric.name == "gen_ai.client.inference.duration")
        .expect("a metric");
    assert_eq!(duration.unit, "s");
    assert!(
        pushed
            .iter()
            .all(|metric| metric.name.starts_with("gen_ai.") == metric.name.contains("gen_ai"))
    );
}

#[test]
fn cumulative_sums_begin_with_the_program_and_deltas_with_the_last_reading() {
    let metrics = metrics();
    // What was there before the program began, such as what a ledger has kept, is no part of what
    // is pushed.
    metrics.receive(&called(None));
    let start = reading(&metrics, 1000);
    metrics.receive(&called(None));
    metrics.receive(&called(None));
    let first = pushed(&metrics, &start, Temporality::Cumulative);
    assert_eq!(
        counted(&first, "gravimeter_calls"),
        [(2.0, 1000, 2_000_000_000)]
    );
    let later = reading(&metrics, 1500);
    metrics.receive(&called(None));
    let cumulative = pushed(&metrics, &start, Temporality::Cumulative);
    let delta = pushed(&metrics, &later, Temporality::Delta);
    assert_eq!(
        counted(&cumulative, "gravimeter_calls"),
        [(3.0, 1000, 2_000_000_000)]
    );
    assert_eq!(
        counted(&delta, "gravimeter_calls"),
        [(1.0, 1500, 2_000_000_000)]
    );
    for (pushed, count) in [(&cumulative, 3), (&delta, 1)] {
        let point = observed(pushed, "gravimeter_call_duration");
        assert_eq!((point.count, point.sum), (count, Some(1.5 * count as f64)));
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), count);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        // 1.5 s lie between 1.28 and 2.56.
        let bucket = point
            .bucket_counts
            .iter()
            .position(|in_it| *in_it == count)
            .expect("a bucket");
        assert_eq!(point.explicit_bounds[bucket - 1..=bucket], [1.28, 2.56]);
    }
}

#[test]
fn temporality_stands_on_sums_and_histograms() {
    let metrics = metrics();
    let since = reading(&metrics, 0);
    metrics.receive(&called(None));
    for (temporality, number) in [(Temporality::Delta, 1), (Temporality::Cumulative, 2)] {
        let both = [pushed, exponentially].map(|form| form(&metrics, &since, temporality));
        for metric in both.into_iter().flatten() {
            match metric.data.expect("data") {
                metric::Data::Sum(sum) => assert_eq!(
                    (sum.aggregation_temporality, sum.is_monotonic),
                    (number, true)
                ),
                metric::Data::Histogram(histogram) => {
                    assert_eq!(histogram.aggregation_temporality, number)
                }
                metric::Data::ExponentialHistogram(histogram) => {
                    assert_eq!(histogram.aggregation_temporality, number)
                }
                _ => {}
            }
        }
    }
}

#[test]
fn an_exemplar_goes_with_the_points_of_its_time() {
    let metrics = metrics();
    let since = reading(&metrics, 1_000_000_000);
    metrics.receive(&called(Some(sampled(0x4bf9, 0xf067))));
    let first = pushed(&metrics, &since, Temporality::Delta);
    let [exemplar] = &observed(&first, "gravimeter_call_duration").exemplars[..] else {
        panic!("one exemplar")
    };
    assert_eq!(
        (&exemplar.trace_id[14..], &exemplar.span_id[6..]),
        (&[0x4b, 0xf9][..], &[0xf0, 0x67][..])
    );
    assert_eq!((exemplar.trace_id.len(), exemplar.span_id.len()), (16, 8));
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(1.5)));
    assert_eq!(exemplar.time_unix_nano, 1_790_000_001_500_000_000);
    let after = pushed(
        &metrics,
        &reading(&metrics, 1_800_000_000),
        Temporality::Delta,
    );
    assert_eq!(observed(&after, "gravimeter_call_duration").exemplars, []);

    let first = exponentially(&metrics, &since, Temporality::Delta);
    let point = observed_exponentially(&first, "gravimeter_call_duration");
    assert_eq!(&point.exemplars[..], std::slice::from_ref(exemplar));
    let after = exponentially(
        &metrics,
        &reading(&metrics, 1_800_000_000),
        Temporality::Delta,
    );
    let point = observed_exponentially(&after, "gravimeter_call_duration");
    assert_eq!((point.count, &point.exemplars[..]), (0, &[][..]));
}

#[test]
fn exponential_histograms_begin_with_the_program_or_with_the_last_reading() {
    let metrics = metrics();
    metrics.receive(&called(None));
    let start = reading(&metrics, 1000);
    metrics.receive(&called(None));
    metrics.receive(&called(None));
    let later = reading(&metrics, 1500);
    metrics.receive(&called(None));
    for (since, temporality, count, begins) in [
        (&start, Temporality::Cumulative, 3, 1000),
        (&later, Temporality::Delta, 1, 1500),
    ] {
        let pushed = exponentially(&metrics, since, temporality);
        let point = observed_exponentially(&pushed, "gravimeter_call_duration");
        assert_eq!((point.count, point.sum), (count, Some(1.5 * count as f64)));
        assert_eq!(
            (
                point.start_time_unix_nano / 1_000_000_000,
                point.time_unix_nano / 1_000_000_000
            ),
            (begins, 2_000_000_000)
        );
        assert_eq!((point.min, point.max, &point.negative), (None, None, &None));
        // One bucket, around 1.5 s.
        let buckets = point.positive.as_ref().expect("a bucket");
        assert_eq!(buckets.bucket_counts, [count]);
        let edge = |index: i32| (f64::from(index) * f64::from(-point.scale).exp2()).exp2();
        let (lower, upper) = (edge(buckets.offset), edge(buckets.offset + 1));
        assert!(lower < 1.5 && 1.5 <= upper, "{lower}..{upper}");
        assert!(upper / lower < 1.01, "{lower}..{upper}");
    }
}

#[test]
fn every_histogram_is_exponential_by_default() {
    let metrics = metrics();
    let since = reading(&metrics, 0);
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let pushed = exponentially(&metrics, &since, Temporality::Cumulative);
    let is = |exponential: bool| {
        let of_form = pushed.iter().filter(|metric| match metric.data {
            Some(metric::Data::ExponentialHistogram(_)) => exponential,
            Some(metric::Data::Histogram(_)) => !exponential,
            _ => false,
        });
        of_form
            .map(|metric| metric.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(is(false), [""; 0]);
    assert!(
        is(true).contains(&"gravimeter_call_duration"),
        "{:?}",
        is(true)
    );
}

#[test]
fn a_clock_that_was_put_back_makes_no_span_of_time_negative() {
    let metrics = metrics();
    let since = reading(&metrics, 3_000_000_000);
    metrics.receive(&called(None));
    let pushed = pushed(&metrics, &since, Temporality::Delta);
    assert_eq!(
        counted(&pushed, "gravimeter_calls"),
        [(1.0, 3_000_000_000, 3_000_000_000)]
    );
}

#[test]
fn labels_of_ours_stay_as_they_are() {
    let metrics = metrics();
    let since = reading(&metrics, 0);
    metrics.receive(&called(None));
    let pushed = pushed(&metrics, &since, Temporality::Cumulative);
    let metric::Data::Sum(sum) = of(&pushed, "gravimeter_calls") else {
        panic!("a sum")
    };
    let model = sum.data_points[0]
        .attributes
        .iter()
        .find(|it| it.key == "model")
        .and_then(|it| it.value.clone());
    assert_eq!(
        model.and_then(|it| it.value),
        Some(any_value::Value::StringValue("m".to_owned()))
    );
}
