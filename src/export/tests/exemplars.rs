//! Buckets name the right span, or none.

use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;

use super::kit::{
    Exemplar, call, decoded, exemplars, exposition, metrics, run, sampled, samples, unsampled,
    value,
};
use crate::export::Metrics;
use crate::export::formats::Format;
use crate::export::otlp;
use crate::export::spans::of_call;
use crate::export::traces::Traces;
use crate::record::{
    Call, CascadeRun, ConnectionSetup, Fact, Handshake, Label, Model, Phase, RunOutcome, Side,
    Sink, Timing, TlsVersion, TraceContext,
};

/// `name le` of a bucket, and `trace_id span_id` of its exemplar.
type Named = (String, String);

fn called(trace: Option<TraceContext>) -> Fact {
    Fact::Call(Box::new(Call { trace, ..call("m") }))
}

fn ran(trace: Option<TraceContext>) -> Fact {
    Fact::RunEnded(Box::new(CascadeRun {
        trace,
        ..run("c", "m")
    }))
}

fn shown(metrics: &Metrics) -> Vec<(String, String, Exemplar)> {
    let exposition = exposition(metrics, Format::OpenMetrics);
    let found = exemplars(&exposition).into_iter();
    found
        .map(|((name, labels), exemplar)| (name, labels["le"].clone(), exemplar))
        .collect()
}

fn named(metrics: &Metrics) -> Vec<Named> {
    let ids = |exemplar: &Exemplar| {
        format!(
            "{} {}",
            exemplar.labels["trace_id"], exemplar.labels["span_id"]
        )
    };
    shown(metrics)
        .iter()
        .map(|(name, le, exemplar)| (format!("{name} {le}"), ids(exemplar)))
        .collect()
}

#[test]
fn the_bucket_of_a_call_or_a_run_names_its_span() {
    let metrics = metrics();
    metrics.receive(&called(Some(sampled(
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
        0x00f0_67aa_0ba9_02b7,
    ))));
    metrics.receive(&ran(Some(sampled(1, 2))));
    let of_call = "4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7".to_owned();
    let of_run = "00000000000000000000000000000001 0000000000000002".to_owned();
    let expected = [
        (
            "gravimeter_call_duration_seconds_bucket 2.56".to_owned(),
            of_call.clone(),
        ),
        (
            "gravimeter_cascade_duration_seconds_bucket 12.8".to_owned(),
            of_run,
        ),
        (
            "gravimeter_time_to_first_chunk_seconds_bucket 0.32".to_owned(),
            of_call,
        ),
    ];
    assert_eq!(named(&metrics), expected);
    let values: Vec<_> = shown(&metrics)
        .iter()
        .map(|(_, _, exemplar)| (exemplar.value, exemplar.at))
        .collect();
    let ended = |seconds: f64| Some(1_790_000_000.0 + seconds);
    assert_eq!(
        values,
        [(1.5, ended(1.5)), (10.0, ended(10.0)), (0.3, ended(1.5))]
    );
    assert!(
        shown(&metrics)
            .iter()
            .all(|(_, _, exemplar)| exemplar.labels.len() == 2)
    );
}

#[test]
fn a_span_that_is_not_exported_is_not_named() {
    let metrics = metrics();
    for trace in [None, Some(unsampled(1, 2))] {
        metrics.receive(&called(trace));
        metrics.receive(&ran(trace));
    }
    metrics.receive(&Fact::CallTraced {
        call: 0,
        trace: sampled(1, 2),
    });
    assert_eq!(named(&metrics), []);
    assert!(!exposition(&metrics, Format::OpenMetrics).contains(" # "));
}

#[test]
fn the_last_span_is_named_until_the_next_one() {
    let metrics = metrics();
    for trace in [
        Some(sampled(1, 1)),
        Some(sampled(2, 2)),
        Some(unsampled(3, 3)),
        None,
    ] {
        metrics.receive(&ran(trace));
    }
    let ids = "00000000000000000000000000000002 0000000000000002".to_owned();
    assert_eq!(
        named(&metrics),
        [(
            "gravimeter_cascade_duration_seconds_bucket 12.8".to_owned(),
            ids
        )]
    );
}

#[test]
fn exemplars_change_no_sample_and_are_no_part_of_text() {
    let (with, without) = (metrics(), metrics());
    for trace in 1..=20 {
        with.receive(&called(Some(sampled(trace, 1))));
        with.receive(&ran(Some(sampled(trace, 1))));
        without.receive(&called(None));
        without.receive(&ran(None));
        let setup = setup(20, 3);
        record(&with, shaken(&setup));
        with.late_spans().handshakes(&setup, &sampled(trace, 1));
        record(&without, shaken(&setup));
    }
    let counted = |metrics: &Metrics, format| {
        let mut samples = samples(&exposition(metrics, format));
        samples.retain(|(name, _), _| !name.starts_with("process_"));
        samples
    };
    assert_eq!(
        counted(&with, Format::OpenMetrics),
        counted(&without, Format::Text)
    );
    let text = exposition(&with, Format::Text);
    assert!(exemplars(&text).is_empty() && !text.contains("trace_id="));
    assert_eq!(shown(&with).len(), 5);
}

/// A call that took so many seconds and ended so many seconds after all others began.
fn ended(seconds: u64, at: u64, span: u64) -> Fact {
    let ended = UNIX_EPOCH + Duration::from_secs(1_790_000_000 + at);
    let duration = Duration::from_secs(seconds);
    let timing = Timing {
        started_at: ended - duration,
        duration,
        time_to_first_chunk: None,
        content_duration: None,
    };
    Fact::Call(Box::new(Call {
        timing,
        trace: Some(sampled(1, span)),
        ..call("m")
    }))
}

#[test]
fn a_native_histogram_names_the_spans_of_the_classic_one_in_the_order_of_their_time() {
    let metrics = metrics();
    // The slowest ended first, a clock that was never set shows no time for the last.
    for fact in [ended(420, 500, 1), ended(10, 600, 2), ended(1, 550, 3)] {
        metrics.receive(&fact);
    }
    let timing = Timing {
        started_at: UNIX_EPOCH - Duration::from_secs(3600),
        duration: Duration::from_secs(100),
        ..call("m").timing
    };
    metrics.receive(&Fact::Call(Box::new(Call {
        timing,
        trace: Some(sampled(1, 4)),
        ..call("m")
    })));
    let families = decoded(&metrics);
    let family = families
        .iter()
        .find(|family| family.name == "gravimeter_call_duration_seconds")
        .expect("a family");
    let histogram = family.metric[0].histogram.as_ref().expect("a histogram");
    let spans = |exemplars: Vec<&model::Exemplar>| -> Vec<(String, f64)> {
        let span = |exemplar: &model::Exemplar| {
            let span = exemplar.label.iter().find(|label| label.name == "span_id");
            (span.expect("a span").value.clone(), exemplar.value)
        };
        exemplars.into_iter().map(span).collect()
    };
    let named = |span: u64, seconds| (format!("{span:016x}"), seconds);
    assert_eq!(
        spans(histogram.exemplars.iter().collect()),
        [named(1, 420.0), named(3, 1.0), named(2, 10.0)]
    );
    let buckets = histogram.bucket.iter();
    assert_eq!(
        spans(
            buckets
                .filter_map(|bucket| bucket.exemplar.as_ref())
                .collect()
        ),
        [
            named(3, 1.0),
            named(2, 10.0),
            named(4, 100.0),
            named(1, 420.0)
        ]
    );
}

#[test]
fn a_span_that_ended_earlier_does_not_replace_a_later_one() {
    let metrics = metrics();
    let bucket = "gravimeter_call_duration_seconds_bucket 20.48";
    for (at, span, named_span) in [(600, 1, 1), (500, 2, 1), (600, 3, 3)] {
        metrics.receive(&ended(11, at, span));
        let expected = format!("00000000000000000000000000000001 {named_span:016x}");
        assert_eq!(named(&metrics), [(bucket.to_owned(), expected)]);
    }
}

const HANDSHAKES: &str = "gravimeter_tls_handshake_duration_seconds";

/// A connection whose handshakes took so many milliseconds: upstream a second after the agent's.
fn setup(upstream: u64, agent: u64) -> ConnectionSetup {
    let ended = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let done = |side, millis, ended| {
        let duration = Duration::from_millis(millis);
        (
            Phase::ended(ended, duration),
            Handshake {
                side,
                version: TlsVersion::Tls13,
                resumed: false,
                duration,
            },
        )
    };
    ConnectionSetup {
        connect: Phase::ended(ended, Duration::ZERO),
        upstream: done(Side::Upstream, upstream, ended),
        agent: done(Side::Agent, agent, ended + Duration::from_secs(1)),
    }
}

/// The first call on a connection.
fn opening(number: u64, setup: ConnectionSetup, trace: Option<TraceContext>) -> Call {
    Call {
        number,
        trace,
        setup: Some(Box::new(setup)),
        ..call("m")
    }
}

/// States facts to the metrics and to whoever makes spans of them.
fn record(metrics: &Metrics, facts: impl IntoIterator<Item = Fact>) {
    let config = otlp::Config {
        endpoint: otlp::Endpoint::parse("http://127.0.0.1:1"),
        ..otlp::Config::default()
    };
    let (traces, _exporter) =
        Traces::new(&config, otlp::Resource::new(&config), metrics.spans()).expect("an endpoint");
    let traces = traces.with_late_spans(metrics.late_spans());
    for fact in facts {
        metrics.receive(&fact);
        traces.receive(&fact);
    }
}

/// The facts of a connection's handshakes.
fn shaken(setup: &ConnectionSetup) -> [Fact; 2] {
    [
        Fact::Handshake(setup.upstream.1),
        Fact::Handshake(setup.agent.1),
    ]
}

fn of_handshakes(metrics: &Metrics) -> Vec<(String, Exemplar)> {
    let exposition = exposition(metrics, Format::OpenMetrics);
    let found = exemplars(&exposition)
        .into_iter()
        .filter(|((name, _), _)| name.starts_with(HANDSHAKES));
    found
        .map(|((_, labels), exemplar)| (format!("{} {}", labels["side"], labels["le"]), exemplar))
        .collect()
}

#[test]
fn the_bucket_of_a_handshake_names_its_own_span() {
    let metrics = metrics();
    let setup = setup(20, 3);
    let place = sampled(1, 2);
    let spans = of_call(&opening(1, setup.clone(), Some(place)), &place);
    let id = |name| {
        spans
            .iter()
            .find(|span| span.name == name)
            .expect("a span")
            .span_context
            .span_id()
            .to_string()
    };
    record(
        &metrics,
        shaken(&setup)
            .into_iter()
            .chain([Fact::Call(Box::new(opening(1, setup, Some(place))))]),
    );
    let named = of_handshakes(&metrics);
    let ids: Vec<_> = named
        .iter()
        .map(|(bucket, exemplar)| (bucket.as_str(), &*exemplar.labels["span_id"]))
        .collect();
    let (agent, upstream) = (id("tls handshake agent"), id("tls handshake upstream"));
    assert_eq!(
        ids,
        [
            ("agent 0.005", agent.as_str()),
            ("upstream 0.025", upstream.as_str())
        ]
    );
    let values: Vec<_> = named
        .iter()
        .map(|(_, exemplar)| (exemplar.value, exemplar.at))
        .collect();
    assert_eq!(
        values,
        [
            (0.003, Some(1_790_000_001.0)),
            (0.02, Some(1_790_000_000.0))
        ]
    );
    assert!(
        named
            .iter()
            .all(|(_, exemplar)| exemplar.labels["trace_id"] == "00000000000000000000000000000001")
    );
}

#[test]
fn a_handshake_is_counted_once_and_named_as_late_as_its_call_is_placed() {
    let metrics = metrics();
    let (first, second) = (setup(20, 3), setup(20, 7_000));
    let handshakes = shaken(&first).into_iter().chain(shaken(&second));
    let calls =
        [opening(1, first, None), opening(2, second, None)].map(|call| Fact::Call(Box::new(call)));
    let unsettled = handshakes.chain(calls);
    let settled = [
        Fact::CallTraced {
            call: 1,
            trace: unsampled(1, 1),
        },
        Fact::CallTraced {
            call: 2,
            trace: sampled(2, 2),
        },
    ];
    record(&metrics, unsettled.chain(settled));
    let named = of_handshakes(&metrics);
    let traces: Vec<_> = named
        .iter()
        .map(|(bucket, exemplar)| (bucket.as_str(), &*exemplar.labels["trace_id"]))
        .collect();
    let second = "00000000000000000000000000000002";
    assert_eq!(traces, [("agent +Inf", second), ("upstream 0.025", second)]);
    assert_eq!(
        value(&metrics, &format!("{HANDSHAKES}_count"), &[]),
        Some(4.0)
    );
    assert_eq!(
        value(&metrics, &format!("{HANDSHAKES}_sum"), &["side=upstream"]),
        Some(0.04)
    );
}

#[test]
fn a_handshake_without_an_exported_span_is_not_named() {
    let metrics = metrics();
    let setup = setup(20, 3);
    let calls = [
        opening(1, setup.clone(), Some(unsampled(1, 2))),
        opening(2, setup.clone(), None),
    ];
    record(
        &metrics,
        shaken(&setup)
            .into_iter()
            .chain(calls.map(|call| Fact::Call(Box::new(call)))),
    );
    assert_eq!(of_handshakes(&metrics), []);
    assert_eq!(
        value(&metrics, &format!("{HANDSHAKES}_count"), &[]),
        Some(2.0)
    );
}

#[test]
fn a_clock_that_was_never_set_costs_the_time_only() {
    let metrics = metrics();
    let before_1970 = UNIX_EPOCH - Duration::from_secs(3600);
    let last_second = UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs());
    for started_at in [before_1970, last_second] {
        let timing = Timing {
            started_at,
            ..call("m").timing
        };
        metrics.receive(&Fact::Call(Box::new(Call {
            timing,
            trace: Some(sampled(1, 2)),
            ..call("m")
        })));
        assert_eq!(
            shown(&metrics)
                .iter()
                .map(|(_, _, exemplar)| exemplar.at)
                .collect::<Vec<_>>(),
            [None, None]
        );
    }
}

/// Names as long and as many as may be, of one provider and one operation; runs with every end.
#[test]
fn exemplars_in_every_bucket_stay_bounded() {
    let metrics = metrics();
    for model in (0..300).map(|n| format!("{n:0>width$}", width = Model::MAX_BYTES)) {
        for step in 0..=15 {
            let duration = Duration::from_micros(79_990) * 2u32.pow(step);
            let timing = Timing {
                duration,
                time_to_first_chunk: Some(duration),
                ..call("m").timing
            };
            let trace = Some(sampled(u128::MAX, u64::MAX));
            metrics.receive(&Fact::Call(Box::new(Call {
                timing,
                trace,
                ..call(&model)
            })));
            for &outcome in RunOutcome::ALL {
                let run = CascadeRun {
                    outcome,
                    duration: duration * 10,
                    trace,
                    ..run("c", &model)
                };
                metrics.receive(&Fact::RunEnded(Box::new(run)));
            }
        }
    }
    let exposition = exposition(&metrics, Format::OpenMetrics);
    let found = exemplars(&exposition);
    assert_eq!(found.len(), 201 * (16 + 16 + RunOutcome::ALL.len() * 15));
    assert!(exposition.len() < 16 << 20, "{} bytes", exposition.len());
    let labels_len = |exemplar: &Exemplar| {
        exemplar
            .labels
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    };
    assert!(
        found.values().map(labels_len).all(|len: usize| len <= 128),
        "the limit of OpenMetrics"
    );
}
