//! Promise: conversations, subagents and runs of Claude Code and Codex are seen from their calls
//! alone, as the agents' own log has them.

use std::collections::BTreeMap;
use std::time::Duration;

use gravimeter::demo::agent::{AgentKind, AgentOptions, Log, RunEntry, converse};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::Endpoint;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply, text};
use crate::whole::{Whole, sum};

/// Calls and their tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spent {
    calls: u64,
    tokens: u64,
}

impl Spent {
    fn add(&mut self, tokens: u64) {
        self.calls += 1;
        self.tokens += tokens;
    }

    fn of(group: &Value) -> Self {
        let count = |name: &str| group[name].as_u64().expect("a count");
        Self {
            calls: count("calls"),
            tokens: count("total_tokens"),
        }
    }
}

/// What the log says of conversations, and of the subagents of each.
fn books(log: &Log) -> BTreeMap<&str, (Spent, BTreeMap<&str, Spent>)> {
    let mut books = BTreeMap::<_, (Spent, BTreeMap<_, Spent>)>::new();
    for call in &log.calls {
        let tokens = call.tokens.total();
        let (all, subagents) = books.entry(call.cascade.as_str()).or_default();
        all.add(tokens);
        if !call.trajectory.is_empty() {
            subagents
                .entry(call.trajectory.as_str())
                .or_default()
                .add(tokens);
        }
    }
    books
}

/// Lets two users of an agent talk through the program, until it knows all of it.
async fn talk(kind: AgentKind, collector: &Collector) -> (Whole, Log) {
    let script = ProviderOptions {
        seed: 5,
        pause_ms: 1,
        ..ProviderOptions::default()
    };
    let whole = Whole::with(script, |config| {
        config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
        config.otlp.flush_interval = Duration::from_millis(50);
    })
    .await;
    let options = AgentOptions {
        agents: vec![kind],
        rounds: Some(12),
        cascade_rounds: 4,
        backoff_ms: 1,
        upload_bytes: 2048,
        ..whole.agent()
    };
    let tasks = &whole.provider_tasks;
    let outcome = converse(options, tasks.tracker(), tasks.stopping())
        .await
        .expect("an agent");
    assert!(outcome.is_clean(), "{:?}", outcome.failures);
    assert_eq!(whole.provider.truth(), outcome.tally);
    let log = outcome.log;
    assert!(
        books(&log)
            .values()
            .any(|(_, subagents)| !subagents.is_empty()),
        "some calls are those of subagents"
    );
    until(async || {
        let runs = whole
            .series("gravimeter_cascade_duration_seconds_count")
            .await;
        let settled = whole.series("gravimeter_correlations_total").await;
        let are_all_there = sum(&runs, &[]) >= log.runs.len() as u64
            && sum(&settled, &["method=\"header\""]) >= log.calls.len() as u64;
        are_all_there.then_some(())
    })
    .await;
    (whole, log)
}

async fn json(whole: &Whole, path: &str) -> Value {
    serde_json::from_str(&whole.get(path).await).expect("JSON")
}

/// The conversation is shown with the calls, subagents and runs that the log has.
async fn check_cascade(
    whole: &Whole,
    cascade: &str,
    (all, subagents): &(Spent, BTreeMap<&str, Spent>),
    runs: &[&RunEntry],
    agent: &str,
) {
    let shown = json(whole, &format!("/v1/cascades/{cascade}")).await;
    assert_eq!(Spent::of(&shown["usage"]), *all, "{shown}");
    let listed = shown["subagents"].as_array().expect("subagents");
    let listed: BTreeMap<&str, Spent> = listed
        .iter()
        .map(|group| (group["subagent"].as_str().expect("an id"), Spent::of(group)))
        .collect();
    assert_eq!(listed, *subagents);
    let made = |call: &&Value| call.get("subagent").is_some();
    let calls = shown["calls"].as_array().expect("calls");
    assert_eq!(
        calls.iter().filter(made).count() as u64,
        subagents.values().map(|spent| spent.calls).sum::<u64>()
    );
    assert_eq!(shown["state"], "idle");
    let seen = shown["runs"].as_array().expect("runs").iter().rev();
    let seen: Vec<_> = seen
        .map(|run| (run["agent"].clone(), run["outcome"].clone(), Spent::of(run)))
        .collect();
    let meant: Vec<_> = runs
        .iter()
        .map(|run| {
            let spent = Spent {
                calls: run.calls,
                tokens: run.tokens.total(),
            };
            (json!(agent), json!("ok"), spent)
        })
        .collect();
    assert_eq!(seen, meant, "{cascade}");
}

/// Every call stands below its subagent or its run, and every subagent below its run.
fn check_spans(spans: &[Span], log: &Log, agent: &str, kind: &str) {
    let named = |name: String| -> BTreeMap<&Vec<u8>, &Span> {
        let found = spans.iter().filter(|span| span.name == name);
        found.map(|span| (&span.span_id, span)).collect()
    };
    let runs = named(format!("invoke_agent {agent}"));
    let subagents = named(format!("invoke_agent {kind}"));
    assert_eq!(runs.len(), log.runs.len());
    assert!(runs.values().all(|run| run.parent_span_id.is_empty()));
    for subagent in subagents.values() {
        let run = runs.get(&subagent.parent_span_id).expect("its run");
        assert_eq!(run.trace_id, subagent.trace_id);
        assert!(run.start_time_unix_nano <= subagent.start_time_unix_nano);
        assert!(run.end_time_unix_nano >= subagent.end_time_unix_nano);
    }
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.name.starts_with("chat "))
        .collect();
    assert_eq!(calls.len(), log.calls.len());
    for call in &calls {
        match text(call, "gen_ai.agent.id") {
            Some(id) => {
                let subagent = subagents.get(&call.parent_span_id).expect("its subagent");
                assert_eq!(text(subagent, "gen_ai.agent.id"), Some(id));
            }
            // A title is asked for before the turn begins.
            None => assert!(
                runs.contains_key(&call.parent_span_id) || call.parent_span_id.is_empty(),
                "{}",
                call.name
            ),
        }
        assert!(
            text(call, "gen_ai.request.reasoning.level").is_some()
                || call.parent_span_id.is_empty()
        );
    }
    let below = |top: &Vec<u8>| {
        let is_below = |call: &&&Span| {
            call.parent_span_id == *top
                || subagents
                    .get(&call.parent_span_id)
                    .is_some_and(|subagent| subagent.parent_span_id == *top)
        };
        calls.iter().filter(is_below).count() as u64
    };
    let mut counted: Vec<u64> = runs.keys().map(|id| below(id)).collect();
    let mut meant: Vec<u64> = log.runs.iter().map(|run| run.calls).collect();
    counted.sort_unstable();
    meant.sort_unstable();
    assert_eq!(counted, meant);
}

async fn is_seen_from_its_calls(kind: AgentKind, agent: &str, subagent: &str) {
    let collector = Collector::start(&[Reply::Take]).await;
    let (whole, log) = talk(kind, &collector).await;
    let books = books(&log);
    for (cascade, expected) in &books {
        let runs = log.runs.iter().filter(|run| run.cascade == *cascade);
        check_cascade(&whole, cascade, expected, &runs.collect::<Vec<_>>(), agent).await;
    }
    let runs = whole
        .series("gravimeter_cascade_duration_seconds_count")
        .await;
    assert_eq!(sum(&runs, &["outcome=\"ok\""]), log.runs.len() as u64);
    assert_eq!(sum(&runs, &[]), log.runs.len() as u64);
    let invoked = whole
        .series("gen_ai_invoke_agent_duration_seconds_count")
        .await;
    let label = format!("gen_ai_agent_name=\"{agent}\"");
    assert_eq!(sum(&invoked, &[&label]), log.runs.len() as u64);
    let running = whole.series("gravimeter_cascades_running").await;
    assert_eq!(sum(&running, &[]), 0);

    assert!(whole.app.ledger().settle(Duration::from_secs(10)));
    let report = json(&whole, "/v1/usage?by=subagent").await;
    let groups = report["groups"].as_array().expect("groups");
    let mut sums = Spent::default();
    let mut found = BTreeMap::new();
    for group in groups {
        let spent = Spent::of(group);
        sums.calls += spent.calls;
        sums.tokens += spent.tokens;
        if group["kind"] == "subagent" {
            assert_eq!(group["subagent_kind"], subagent);
            let id = |name: &str| group[name].as_str().expect("an id").to_owned();
            found.insert((id("cascade"), id("subagent")), spent);
        }
    }
    assert_eq!(sums, Spent::of(&report["totals"]));
    let meant = books.iter().flat_map(|(cascade, (_, subagents))| {
        let own = subagents.iter();
        own.map(|(id, spent)| (((*cascade).to_owned(), (*id).to_owned()), *spent))
    });
    assert_eq!(found, meant.collect());
    whole.stop().await;
    check_spans(&collector.all(), &log, agent, subagent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claude_code_is_seen_from_its_calls() {
    is_seen_from_its_calls(AgentKind::ClaudeCode, "claude-code", "Explore").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codex_is_seen_from_its_calls() {
    is_seen_from_its_calls(AgentKind::Codex, "codex", "collab_spawn").await;
}
