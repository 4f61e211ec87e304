//! From a bucket in a real Prometheus to the span that a real collector has got.

use std::collections::BTreeMap;
use std::process::Command;

use gravimeter::export::otlp::Protocol;
use serde_json::Value;

use super::conversation::{ALL, crowd, is_setup};
use super::real::{Received, Rotel};
use crate::kit::binary::until;
use crate::kit::prometheus::Prometheus;

const DOCS: &str = include_str!("../../../docs/tracing.md");

/// The command of the section "From a slow bucket to its trace".
fn documented() -> &'static str {
    let (_, section) = DOCS
        .split_once("\n## From a slow bucket to its trace\n")
        .expect("the section");
    let (_, block) = section.split_once("\n```sh\n").expect("a command");
    block.split_once("\n```\n").expect("its end").0
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

fn seconds(span: &Received) -> f64 {
    let nanos = |name: &str| span.is(name).parse::<u64>().expect("nanoseconds");
    (nanos("End time") - nanos("Start time")) as f64 / 1e9
}

/// An exemplar, as its series and itself tell of it.
#[derive(Debug)]
struct Exemplar<'a> {
    metric: &'a str,
    /// A handshake is of no model.
    model: Option<&'a str>,
    seconds: f64,
    trace: &'a str,
    span: &'a str,
}

impl<'a> From<&'a (Value, Value)> for Exemplar<'a> {
    fn from((series, exemplar): &'a (Value, Value)) -> Self {
        Self {
            metric: text(&series["__name__"]),
            model: series["model"].as_str(),
            seconds: text(&exemplar["value"]).parse().expect("seconds"),
            trace: text(&exemplar["labels"]["trace_id"]),
            span: text(&exemplar["labels"]["span_id"]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exemplar_names_a_span_that_the_collector_has_and_the_documented_command_finds_the_slowest()
 {
    let Some(rotel) = Rotel::start().await else {
        return;
    };
    let crowd = crowd(rotel.grpc, Protocol::Grpc, ALL).await;
    let Some(prometheus) = Prometheus::start(crowd.whole.exporter()).await else {
        return;
    };
    let (calls, runs) = (crowd.calls().await, crowd.log.runs.len() as u64);
    let scraped = prometheus.value("sum(gravimeter_calls_total)").await;
    assert_eq!(
        scraped,
        Some(calls as f64),
        "it was started when all was over"
    );
    let spans = until(async || {
        let (_, spans) = rotel.spans(1).await;
        let setups = spans
            .iter()
            .filter(|span| is_setup(span.is("Name")))
            .count();
        ((spans.len() - setups) as u64 >= calls + runs).then_some(spans)
    })
    .await;
    let spans: BTreeMap<_, _> = spans
        .iter()
        .map(|span| ((span.is("Trace ID"), span.is("ID")), span))
        .collect();

    let found = prometheus
        .exemplars(r#"{__name__=~"gravimeter_.+_bucket"}"#)
        .await;
    let exemplars: Vec<_> = found.iter().map(Exemplar::from).collect();
    for exemplar in &exemplars {
        let span = spans.get(&(exemplar.trace, exemplar.span));
        let span = span.unwrap_or_else(|| panic!("{exemplar:?} names a span that has not come"));
        match exemplar.model {
            Some(model) => {
                // A run that has used several models names its first one.
                let name = match exemplar.metric.starts_with("gravimeter_cascade_") {
                    true => "@gravimeter.run.model",
                    false => "@gen_ai.request.model",
                };
                assert_eq!(span.is(name), format!("Str({model})"), "{exemplar:?}");
            }
            None => assert!(
                span.is("Name").starts_with("tls handshake "),
                "{exemplar:?} {span:?}"
            ),
        }
        match exemplar.metric {
            "gravimeter_time_to_first_chunk_seconds_bucket" => {
                let waited = format!("Double({:?})", exemplar.seconds);
                assert_eq!(
                    span.is("@gen_ai.response.time_to_first_chunk"),
                    waited,
                    "{exemplar:?}"
                );
            }
            _ => assert!(
                (seconds(span) - exemplar.seconds).abs() < 1e-6,
                "{exemplar:?} {span:?}"
            ),
        }
    }
    let slowest = |metric: &str| {
        let of_metric = exemplars
            .iter()
            .filter(|exemplar| exemplar.metric == metric);
        of_metric
            .max_by(|one, other| one.seconds.total_cmp(&other.seconds))
            .unwrap_or_else(|| panic!("none: {metric}"))
    };
    for metric in [
        "gravimeter_time_to_first_chunk",
        "gravimeter_tls_handshake_duration",
    ] {
        assert!(
            exemplars
                .iter()
                .any(|exemplar| exemplar.metric.starts_with(metric)),
            "{metric}"
        );
    }

    let said = Command::new("sh")
        .args(["-euc", documented()])
        .env("PROMETHEUS", format!("http://{}", prometheus.addr))
        .env("TRACES", "http://traces.example.com/trace")
        .output()
        .expect("a shell");
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let said = String::from_utf8(said.stdout).expect("text");
    let lines: Vec<Vec<_>> = said
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let of_docs = [
        "gravimeter_call_duration_seconds_bucket",
        "gravimeter_cascade_duration_seconds_bucket",
    ];
    assert_eq!(lines.len(), of_docs.len(), "{said}");
    for (line, metric) in lines.iter().zip(of_docs) {
        let exemplar = slowest(metric);
        let link = format!("http://traces.example.com/trace/{}", exemplar.trace);
        assert_eq!(line[0].parse(), Ok(exemplar.seconds), "{said}");
        assert_eq!(
            line[1..],
            [
                metric,
                exemplar.model.expect("a model"),
                &link,
                exemplar.span
            ],
            "{said}"
        );
    }
    crowd.end().await;
}
