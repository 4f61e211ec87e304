//! A start time is never later than a count, and stays what it was.

use std::time::Duration;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::Metric;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

/// A reading of counters by model.
fn reading(name: &str, counts: &[(&str, f64)]) -> Vec<MetricFamily> {
    let metric = counts.iter().map(|(model, value)| Metric {
        label: vec![LabelPair {
            name: "model".to_owned(),
            value: (*model).to_owned(),
        }],
        counter: Some(Counter {
            value: *value,
            ..Counter::default()
        }),
        ..Metric::default()
    });
    vec![MetricFamily {
        name: name.to_owned(),
        metric: metric.collect(),
        ..MetricFamily::default()
    }]
}

fn started(times: &StartTimes, mut families: Vec<MetricFamily>, now: u64) -> Vec<SystemTime> {
    times.put_on(&mut families, at(now));
    counters(&mut families)
        .map(|(_, _, counter)| counter.start_timestamp.unwrap().try_into().unwrap())
        .collect()
}

#[test]
fn a_series_starts_at_the_last_reading_that_did_not_have_it() {
    let times = StartTimes::new(at(0));
    let read = |counts: &[_], now| started(&times, reading("calls_total", counts), now);
    assert_eq!(read(&[("a", 1.0)], 10), [at(0)]);
    assert_eq!(read(&[("a", 2.0)], 20), [at(0)]);
    assert_eq!(read(&[("b", 1.0), ("a", 2.0)], 30), [at(20), at(0)]);
    assert_eq!(read(&[("b", 5.0), ("a", 2.0)], 40), [at(20), at(0)]);
    assert_eq!(
        started(&times, reading("other_total", &[("a", 1.0)]), 50),
        [at(40)]
    );
}

#[test]
fn what_is_resumed_starts_where_the_ledger_begins() {
    let times = StartTimes::new(at(100));
    times.resume(
        &mut reading("calls_total", &[("old", 7.0), ("new", 0.0)]),
        at(3),
    );
    times.resume(
        &mut reading("process_cpu_seconds_total", &[("", 0.1)]),
        at(3),
    );
    let calls = reading("calls_total", &[("old", 8.0), ("new", 1.0)]);
    assert_eq!(started(&times, calls, 110), [at(3), at(100)]);
    let process = reading("process_cpu_seconds_total", &[("", 0.2)]);
    assert_eq!(started(&times, process, 110), [at(110)]);
}

#[test]
fn no_series_starts_after_its_reading() {
    let times = StartTimes::new(at(50));
    let read = |counts: &[_], now| started(&times, reading("calls_total", counts), now);
    assert_eq!(read(&[("a", 1.0)], 40), [at(40)], "the clock was put back");
    assert_eq!(read(&[("a", 1.0)], 60), [at(40)]);
    assert_eq!(
        read(&[("b", 1.0)], 55),
        [at(55)],
        "a reading overtook this one"
    );
    assert_eq!(read(&[("c", 1.0)], 70), [at(60)]);
}
