//! A whole Gravimeter, and the spans of the conversations that passed through it: who is part of whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use gravimeter::app::Tasks;
use gravimeter::cascade::client::{Endpoint as Rpc, Token};
use gravimeter::config::Config;
use gravimeter::demo::agent::{AgentOptions, Log, start};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::{Endpoint, Protocol};
use gravimeter::record::Sampling;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::real::{Received, Rotel};
use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply, number};
use crate::whole::{Whole, get_with, sum};

const TOKEN: &str = "csrf";

/// Every trace, but for those that the agent does not record.
pub const ALL: Sampling = Sampling {
    ratio: 1.0,
    follows_parent: true,
};

/// A span as either collector knows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub trace: String,
    pub id: String,
    /// Empty for the top of a trace.
    pub parent: String,
    pub name: String,
    /// Empty where none is known.
    pub conversation: String,
}

impl From<&Span> for Seen {
    fn from(span: &Span) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let conversation = span
            .attributes
            .iter()
            .find(|it| it.key == "gen_ai.conversation.id");
        let conversation = match conversation.and_then(|it| it.value.as_ref()?.value.clone()) {
            Some(Value::StringValue(text)) => text,
            _ => String::new(),
        };
        let (trace, id, parent) = (
            hex(&span.trace_id),
            hex(&span.span_id),
            hex(&span.parent_span_id),
        );
        Self {
            trace,
            id,
            parent,
            name: span.name.clone(),
            conversation,
        }
    }
}

impl From<&Received> for Seen {
    fn from(span: &Received) -> Self {
        let conversation = span
            .is("@gen_ai.conversation.id")
            .trim_start_matches("Str(")
            .trim_end_matches(')');
        Self {
            trace: span.is("Trace ID").to_owned(),
            id: span.is("ID").to_owned(),
            parent: span.is("Parent ID").to_owned(),
            name: span.is("Name").to_owned(),
            conversation: conversation.to_owned(),
        }
    }
}

/// A conversation that has come to its end, in a Gravimeter that still runs.
pub struct Conversation {
    pub whole: Whole,
    tasks: Tasks,
    /// What the stand-in says it did.
    pub log: Log,
}

impl Conversation {
    /// Lets a stand-in converse through a Gravimeter as `change` makes it, until Gravimeter knows all of
    /// it.
    pub async fn hold(
        script: ProviderOptions,
        agent: AgentOptions,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let tasks = Tasks::default();
        let options = AgentOptions {
            csrf_token: TOKEN.to_owned(),
            offered_streams: agent.offered_streams,
            ..AgentOptions::default()
        };
        let stand_in = start(&options, tasks.tracker(), tasks.stopping())
            .await
            .expect("a stand-in");
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let rpc = Rpc::new(
            address(stand_in.http),
            address(stand_in.https),
            Token::new(TOKEN),
        )
        .expect("an endpoint");
        let whole = Whole::with(script, |config| {
            config.cascade.endpoint = Some(rpc);
            change(config);
        })
        .await;
        let way = whole.agent();
        let options = AgentOptions {
            bundle: way.bundle,
            proxy: way.proxy,
            patience_ms: 10_000,
            backoff_ms: 1,
            csrf_token: TOKEN.to_owned(),
            ..agent
        };
        let outcome = stand_in.converse(options).await.expect("an agent");
        assert!(outcome.is_clean(), "{:?}", outcome.failures);
        let log = stand_in.log();
        until(async || {
            let runs = sum(
                &whole
                    .series("gravimeter_cascade_duration_seconds_count")
                    .await,
                &[],
            );
            let settled = sum(&whole.series("gravimeter_correlations_total").await, &[]);
            (runs >= log.runs.len() as u64 && settled >= log.calls.len() as u64).then_some(())
        })
        .await;
        Self { whole, tasks, log }
    }

    /// The calls that Gravimeter has counted.
    pub async fn calls(&self) -> u64 {
        sum(&self.whole.series("gravimeter_calls_total").await, &[])
    }

    /// Ends Gravimeter in peace: every span has left it then.
    pub async fn end(self) -> Log {
        self.tasks
            .drain(Duration::from_secs(10), std::future::pending())
            .await;
        self.whole.stop().await;
        self.log
    }
}

/// Three users who talk at the same time.
pub async fn crowd(collector: SocketAddr, protocol: Protocol, sampling: Sampling) -> Conversation {
    let script = ProviderOptions {
        seed: 3,
        max_events: 6,
        pause_ms: 5,
        ..ProviderOptions::default()
    };
    let users = AgentOptions {
        conversations: 3,
        rounds: Some(6),
        cascade_rounds: 3,
        pause_ms: 200,
        ..AgentOptions::default()
    };
    Conversation::hold(script, users, |config| {
        config.otlp.endpoint = Endpoint::parse(&format!("http://{collector}"));
        config.otlp.protocol = protocol;
        config.otlp.sampling = sampling;
        config.otlp.flush_interval = Duration::from_millis(50);
    })
    .await
}

/// Lets a crowd converse through a Gravimeter that exports to the collector, until Gravimeter has ended.
/// Returns what the stand-in says it did, how many calls Gravimeter has counted, and its last word
/// in OpenMetrics.
async fn converse(
    collector: SocketAddr,
    protocol: Protocol,
    sampling: Sampling,
) -> (Log, u64, String) {
    let conversation = crowd(collector, protocol, sampling).await;
    let calls = conversation.calls().await;
    let web = conversation.whole.exporter();
    let page = get_with(web, "/metrics", "Accept: application/openmetrics-text\r\n").await;
    (conversation.end().await, calls, page)
}

pub fn is_run(span: &Seen) -> bool {
    span.name == "invoke_agent antigravity"
}

pub fn is_setup(name: &str) -> bool {
    [
        "tcp connect",
        "tls handshake upstream",
        "tls handshake agent",
    ]
    .contains(&name)
}

fn check(spans: &[Seen], log: &Log, calls: u64) {
    let by_id: BTreeMap<_, _> = spans
        .iter()
        .map(|span| ((&*span.trace, &*span.id), span))
        .collect();
    assert_eq!(by_id.len(), spans.len(), "each span has an id of its own");
    let parent = |span: &Seen| by_id.get(&(&*span.trace, &*span.parent)).copied();
    let of_calls: Vec<_> = spans
        .iter()
        .filter(|span| !is_run(span) && !is_setup(&span.name))
        .collect();
    assert_eq!(of_calls.len() as u64, calls);

    let runs: Vec<_> = spans.iter().filter(|span| is_run(span)).collect();
    assert!(runs.iter().all(|run| run.parent.is_empty()), "{runs:#?}");
    let told = |of: Vec<&str>| {
        of.into_iter().fold(
            BTreeMap::new(),
            |mut counts: BTreeMap<String, u64>, cascade| {
                *counts.entry(cascade.to_owned()).or_default() += 1;
                counts
            },
        )
    };
    assert_eq!(
        told(runs.iter().map(|run| &*run.conversation).collect()),
        told(log.runs.iter().map(|run| &*run.cascade).collect())
    );

    let joined = of_calls
        .iter()
        .map(|call| &*call.conversation)
        .filter(|conversation| !conversation.is_empty());
    assert_eq!(
        told(joined.collect()),
        told(log.calls.iter().map(|call| &*call.cascade).collect())
    );
    for call in of_calls.iter().filter(|call| !call.parent.is_empty()) {
        let run =
            parent(call).unwrap_or_else(|| panic!("{call:?} is part of no span that has come"));
        assert!(is_run(run), "{call:?} in {run:?}");
        assert!(
            call.conversation.is_empty() || call.conversation == run.conversation,
            "{call:?} in {run:?}"
        );
    }
    let in_runs = of_calls
        .iter()
        .filter(|call| !call.parent.is_empty())
        .count();
    assert_eq!(
        in_runs as u64,
        log.runs.iter().map(|run| run.calls).sum::<u64>(),
        "{of_calls:#?}"
    );

    let setups: Vec<_> = spans.iter().filter(|span| is_setup(&span.name)).collect();
    assert!(!setups.is_empty() && setups.len() % 3 == 0, "{setups:#?}");
    for setup in setups {
        let call =
            parent(setup).unwrap_or_else(|| panic!("{setup:?} is part of no span that has come"));
        assert!(
            !is_run(call) && !is_setup(&call.name),
            "{setup:?} in {call:?}"
        );
    }
}

/// Every bucket that names a span names one that has come, and that took as long as the bucket
/// says. Each of the histograms that can has named one.
fn check_exemplars(page: &str, spans: &[Span]) {
    let mut named = BTreeSet::new();
    for line in page.lines().filter(|line| line.contains(" # {")) {
        let (sample, exemplar) = line.split_once(" # ").expect("an exemplar");
        let label = |name: &str| {
            exemplar
                .split_once(&format!("{name}=\""))
                .expect("a label")
                .1
                .split('"')
                .next()
        };
        let ids = (
            label("trace_id").expect("an id"),
            label("span_id").expect("an id"),
        );
        let is_it = |span: &&Span| {
            let seen = Seen::from(*span);
            (&*seen.trace, &*seen.id) == ids
        };
        let span = spans
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no span has come for {line}"));
        let metric = sample.split_once("_bucket{").expect("a bucket").0;
        let sort = match metric.strip_prefix("gravimeter_").expect("one of ours") {
            "cascade_duration_seconds" => "invoke_agent antigravity".to_owned(),
            "tls_handshake_duration_seconds" => {
                let side = sample
                    .split_once("side=\"")
                    .expect("a side")
                    .1
                    .split('"')
                    .next()
                    .expect("a side");
                format!("tls handshake {side}")
            }
            _ => span.name.clone(),
        };
        assert_eq!(span.name, sort, "{line}");
        let value: f64 = exemplar
            .split(' ')
            .nth(1)
            .expect("a value")
            .parse()
            .expect("a number");
        let took = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9;
        let is_whole = metric != "gravimeter_time_to_first_chunk_seconds";
        assert!(!is_whole || (took - value).abs() < 1e-6, "{took} s: {line}");
        named.insert(metric.to_owned());
    }
    let can = [
        "call_duration",
        "cascade_duration",
        "time_to_first_chunk",
        "tls_handshake_duration",
    ];
    assert_eq!(
        named,
        can.map(|name| format!("gravimeter_{name}_seconds")).into()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_part_of_their_runs() {
    let collector = Collector::start(&[Reply::Take]).await;
    let (log, calls, page) = converse(collector.addr, Protocol::HttpProtobuf, ALL).await;
    let spans: Vec<_> = collector.all().iter().map(Seen::from).collect();
    check(&spans, &log, calls);
    check_exemplars(&page, &collector.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_collector_sees_calls_in_their_runs() {
    let Some(rotel) = Rotel::start().await else {
        return;
    };
    let (log, calls, _) = converse(rotel.grpc, Protocol::Grpc, ALL).await;
    let spans = until(async || {
        let spans: Vec<_> = rotel.spans(1).await.1.iter().map(Seen::from).collect();
        let setups = spans.iter().filter(|span| is_setup(&span.name)).count();
        let has_come =
            (spans.len() - setups) as u64 >= calls + log.runs.len() as u64 && setups % 3 == 0;
        has_come.then_some(spans)
    })
    .await;
    check(&spans, &log, calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_recorded_whole_or_not_at_all() {
    let collector = Collector::start(&[Reply::Take]).await;
    let (log, calls, _) = converse(
        collector.addr,
        Protocol::Grpc,
        Sampling { ratio: 0.5, ..ALL },
    )
    .await;
    let spans = collector.all();
    let seen: Vec<_> = spans.iter().map(Seen::from).collect();
    let of_calls: Vec<_> = seen
        .iter()
        .filter(|span| !is_run(span) && !is_setup(&span.name))
        .collect();
    assert!(
        (1..calls).contains(&(of_calls.len() as u64)),
        "{} of {calls} calls",
        of_calls.len()
    );
    let of_runs = spans.iter().zip(&seen).filter(|(_, span)| is_run(span));
    // Of 18 runs, all or none would be a matter of one test in a hundred thousand.
    assert!(
        (1..log.runs.len()).contains(&of_runs.clone().count()),
        "{seen:#?}"
    );
    for (span, run) in of_runs {
        let within = of_calls
            .iter()
            .filter(|call| call.trace == run.trace && call.parent == run.id)
            .count();
        assert_eq!(
            number(span, "gravimeter.run.calls"),
            Some(within as u64),
            "{run:?}"
        );
    }
    for part in seen.iter().filter(|span| !span.parent.is_empty()) {
        assert!(
            seen.iter()
                .any(|whole| (&whole.trace, &whole.id) == (&part.trace, &part.parent)),
            "{part:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_of_what_is_not_recorded() {
    let collector = Collector::start(&[Reply::Take]).await;
    converse(
        collector.addr,
        Protocol::Grpc,
        Sampling { ratio: 0.0, ..ALL },
    )
    .await;
    assert_eq!(collector.requests().len(), 0);
}
