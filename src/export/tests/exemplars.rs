//! Buckets name the right span, or none.

use std::time::{Duration, UNIX_EPOCH};

use super::kit::{Exemplar, call, exemplars, metrics, run, sampled, samples, unsampled, value};
use crate::export::Metrics;
use crate::export::text::Format;
use crate::record::{
    Call, CascadeRun, ConnectionSetup, Fact, Handshake, Label, Model, Phase, RunOutcome, Side, Sink, Timing,
    TlsVersion, TraceContext,
};

/// `name le` of a bucket, and `trace_id span_id` of its exemplar.
type Named = (String, String);

fn called(trace: Option<TraceContext>) -> Fact {
    Fact::Call(Box::new(Call { trace, ..call("m") }))
}

fn ran(trace: Option<TraceContext>) -> Fact {
    Fact::RunEnded(Box::new(CascadeRun { trace, ..run("c", "m") }))
}

fn shown(metrics: &Metrics) -> Vec<(String, String, Exemplar)> {
    let exposition = metrics.encode(Format::OpenMetrics).expect("an exposition");
    let found = exemplars(&exposition).into_iter();
    found.map(|((name, labels), exemplar)| (name, labels["le"].clone(), exemplar)).collect()
}

fn named(metrics: &Metrics) -> Vec<Named> {
    let ids = |exemplar: &Exemplar| format!("{} {}", exemplar.labels["trace_id"], exemplar.labels["span_id"]);
    shown(metrics).iter().map(|(name, le, exemplar)| (format!("{name} {le}"), ids(exemplar))).collect()
}

#[test]
fn the_bucket_of_a_call_or_a_run_names_its_span() {
    let metrics = metrics();
    metrics.take(&called(Some(sampled(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7))));
    metrics.take(&ran(Some(sampled(1, 2))));
    let of_call = "4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7".to_owned();
    let of_run = "00000000000000000000000000000001 0000000000000002".to_owned();
    let expected = [
        ("gravimeter_call_duration_seconds_bucket 2.56".to_owned(), of_call.clone()),
        ("gravimeter_cascade_duration_seconds_bucket 12.8".to_owned(), of_run),
        ("gravimeter_time_to_first_chunk_seconds_bucket 0.32".to_owned(), of_call),
    ];
    assert_eq!(named(&metrics), expected);
    let values: Vec<_> = shown(&metrics).iter().map(|(_, _, exemplar)| (exemplar.value, exemplar.at)).collect();
    let ended = |seconds: f64| Some(1_790_000_000.0 + seconds);
    assert_eq!(values, [(1.5, ended(1.5)), (10.0, ended(10.0)), (0.3, ended(1.5))]);
    assert!(shown(&metrics).iter().all(|(_, _, exemplar)| exemplar.labels.len() == 2));
}

#[test]
fn a_span_that_is_not_exported_is_not_named() {
    let metrics = metrics();
    for trace in [None, Some(unsampled(1, 2))] {
        metrics.take(&called(trace));
        metrics.take(&ran(trace));
    }
    metrics.take(&Fact::CallTraced { call: 0, trace: sampled(1, 2) });
    assert_eq!(named(&metrics), []);
    assert!(!metrics.encode(Format::OpenMetrics).expect("an exposition").contains(" # "));
}

#[test]
fn the_last_span_is_named_until_the_next_one() {
    let metrics = metrics();
    for trace in [Some(sampled(1, 1)), Some(sampled(2, 2)), Some(unsampled(3, 3)), None] {
        metrics.take(&ran(trace));
    }
    let ids = "00000000000000000000000000000002 0000000000000002".to_owned();
    assert_eq!(named(&metrics), [("gravimeter_cascade_duration_seconds_bucket 12.8".to_owned(), ids)]);
}

#[test]
fn exemplars_change_no_sample_and_are_no_part_of_text() {
    let (with, without) = (metrics(), metrics());
    for trace in 1..=20 {
        with.take(&called(Some(sampled(trace, 1))));
        with.take(&ran(Some(sampled(trace, 1))));
        without.take(&called(None));
        without.take(&ran(None));
    }
    let counted = |metrics: &Metrics, format| {
        let mut samples = samples(&metrics.encode(format).expect("an exposition"));
        samples.retain(|(name, _), _| !name.starts_with("process_"));
        samples
    };
    assert_eq!(counted(&with, Format::OpenMetrics), counted(&without, Format::Text));
    let text = with.encode(Format::Text).expect("an exposition");
    assert!(exemplars(&text).is_empty() && !text.contains("trace_id="));
    assert_eq!(shown(&with).len(), 3);
}

#[test]
fn a_handshake_that_is_told_again_is_counted_once() {
    let metrics = metrics();
    let duration = Duration::from_millis(20);
    let phase = Phase::ended(UNIX_EPOCH + Duration::from_secs(1_790_000_000), duration);
    let done = |side| Handshake { side, version: TlsVersion::Tls13, resumed: false, duration };
    let (agent, upstream) = (done(Side::Agent), done(Side::Upstream));
    metrics.take(&Fact::Handshake(agent));
    metrics.take(&Fact::Handshake(upstream));
    let setup = ConnectionSetup { connect: phase, upstream: (phase, upstream), agent: (phase, agent) };
    let first = Call { trace: Some(sampled(1, 2)), setup: Some(Box::new(setup)), ..call("m") };
    metrics.take(&Fact::Call(Box::new(first)));
    let count = "gravimeter_tls_handshake_duration_seconds_count";
    assert_eq!(value(&metrics, count, &[]), Some(2.0));
    assert!(shown(&metrics).iter().all(|(name, ..)| !name.starts_with("gravimeter_tls")));
}

#[test]
fn a_clock_that_was_never_set_costs_the_time_only() {
    let metrics = metrics();
    let before_1970 = UNIX_EPOCH - Duration::from_secs(3600);
    let last_second = UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs());
    for started_at in [before_1970, last_second] {
        let timing = Timing { started_at, ..call("m").timing };
        metrics.take(&Fact::Call(Box::new(Call { timing, trace: Some(sampled(1, 2)), ..call("m") })));
        assert_eq!(shown(&metrics).iter().map(|(_, _, exemplar)| exemplar.at).collect::<Vec<_>>(), [None, None]);
    }
}

/// Names as long and as many as may be, of one provider and one operation; runs with every end.
#[test]
fn exemplars_in_every_bucket_stay_bounded() {
    let metrics = metrics();
    for model in (0..300).map(|n| format!("{n:0>width$}", width = Model::MAX_BYTES)) {
        for step in 0..=14 {
            let duration = Duration::from_micros(9_999) * 2u32.pow(step);
            let timing = Timing { duration, time_to_first_chunk: Some(duration), ..call("m").timing };
            let trace = Some(sampled(u128::MAX, u64::MAX));
            metrics.take(&Fact::Call(Box::new(Call { timing, trace, ..call(&model) })));
            for &outcome in RunOutcome::ALL {
                let run = CascadeRun { outcome, duration: duration * 10, trace, ..run("c", &model) };
                metrics.take(&Fact::RunEnded(Box::new(run)));
            }
        }
    }
    let exposition = metrics.encode(Format::OpenMetrics).expect("an exposition");
    let found = exemplars(&exposition);
    assert_eq!(found.len(), 201 * (15 + 15 + RunOutcome::ALL.len() * 14));
    assert!(exposition.len() < 13 << 20, "{} bytes", exposition.len());
    let labels_len = |exemplar: &Exemplar| exemplar.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(found.values().map(labels_len).all(|len: usize| len <= 128), "the limit of OpenMetrics");
}
