//! The run that counts a call is the one whose trace has it, however soon the next message follows
//! and on whichever way the agent is followed. The stand-in's own log tells what the runs have
//! made.

use std::collections::BTreeMap;
use std::time::Duration;

use gravimeter::demo::agent::{AgentOptions, Log, OfferedStreams};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::Endpoint;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::conversation::{ALL, Conversation, Seen, is_run};
use crate::kit::collector::{Collector, Reply, number};

/// Three users who write message after message, each as soon as the answer to the one before has
/// been read.
async fn converse(offered_streams: OfferedStreams, pause_ms: u64) -> (Vec<Span>, Log) {
    let collector = Collector::start(&[Reply::Take]).await;
    let script = ProviderOptions {
        seed: 3,
        max_events: 6,
        pause_ms: 5,
        ..ProviderOptions::default()
    };
    let users = AgentOptions {
        conversations: 3,
        rounds: Some(6),
        // Swallowed messages take ten seconds to be known as such, and make no call.
        swallow_percent: 0,
        pause_ms,
        offered_streams,
        ..AgentOptions::default()
    };
    let conversation = Conversation::hold(script, users, |config| {
        config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
        config.otlp.sampling = ALL;
        config.cascade.follow.idle_interval = Duration::from_millis(500);
        config.otlp.flush_interval = Duration::from_millis(50);
    })
    .await;
    let log = conversation.end().await;
    (collector.all(), log)
}

/// How many calls each run of each conversation has made.
type Runs<'a> = BTreeMap<&'a str, Vec<u64>>;

fn sorted<'a>(runs: impl Iterator<Item = (&'a str, u64)>) -> Runs<'a> {
    let mut sorted = Runs::new();
    runs.for_each(|(conversation, calls)| sorted.entry(conversation).or_default().push(calls));
    sorted.values_mut().for_each(|calls| calls.sort_unstable());
    sorted
}

/// `is_calm`: a call is stated before the message after it comes. What is stated later is in no
/// run, however it is followed.
fn check(spans: &[Span], log: &Log, is_calm: bool, way: &str) {
    let of = |calls: u64| if is_calm { calls } else { 0 };
    let seen: Vec<_> = spans.iter().map(Seen::from).collect();
    let runs: Vec<_> = spans
        .iter()
        .zip(&seen)
        .filter(|(_, span)| is_run(span))
        .collect();
    let within = |run: &Seen| {
        seen.iter()
            .filter(|call| (&call.trace, &call.parent) == (&run.trace, &run.id))
            .count()
    };
    for (span, run) in &runs {
        assert_eq!(
            number(span, "gravimeter.run.calls"),
            Some(within(run) as u64),
            "{way}: {run:?}"
        );
    }
    assert_eq!(
        sorted(
            runs.iter()
                .map(|(_, run)| (&*run.conversation, of(within(run) as u64)))
        ),
        sorted(log.runs.iter().map(|run| (&*run.cascade, of(run.calls)))),
        "{way}: the stand-in's own log"
    );
}

async fn counts_what_it_has(agent_state: bool, reactive: bool) {
    let offered_streams = OfferedStreams {
        agent_state,
        reactive,
    };
    for pause_ms in [1, 200] {
        let (spans, log) = converse(offered_streams, pause_ms).await;
        check(
            &spans,
            &log,
            pause_ms >= 200,
            &format!("{offered_streams:?} with pauses of {pause_ms} ms"),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_counts_the_calls_in_its_trace_by_the_stream_of_the_agents_state() {
    counts_what_it_has(true, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_counts_the_calls_in_its_trace_by_the_reactive_stream() {
    counts_what_it_has(false, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_counts_the_calls_in_its_trace_by_asking() {
    counts_what_it_has(false, false).await;
}
