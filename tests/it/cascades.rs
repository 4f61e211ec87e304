//! Promise: every call is joined to its conversation and every run is seen, on whichever way the
//! agent is followed; the stand-in's own log is the judge.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gravimeter::app::Tasks;
use gravimeter::cascade::client::{Endpoint, Token};
use gravimeter::demo::agent::{AgentOptions, Log, OfferedStreams, Outcome, RunEnd, StandIn, start};
use gravimeter::demo::provider::ProviderOptions;
use serde_json::Value;

use crate::kit::binary::until;
use crate::whole::{Whole, sum};

const TOKEN: &str = "3d6f0a52-csrf-canary";

/// A Gravimeter that follows a stand-in.
struct Stage {
    whole: Whole,
    stand_in: StandIn,
    tasks: Tasks,
    options: AgentOptions,
}

impl Stage {
    async fn set(offered_streams: OfferedStreams) -> Self {
        let tasks = Tasks::default();
        let options = AgentOptions {
            csrf_token: TOKEN.to_owned(),
            offered_streams,
            ..AgentOptions::default()
        };
        let stand_in = start(&options, tasks.tracker(), tasks.stopping())
            .await
            .expect("a stand-in");
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let endpoint = Endpoint::new(
            address(stand_in.http),
            address(stand_in.https),
            Token::new(TOKEN),
        );
        let script = ProviderOptions {
            seed: 3,
            max_events: 6,
            pause_ms: 5,
            ..ProviderOptions::default()
        };
        let whole = Whole::with(script, |config| {
            config.cascade.endpoint = Some(endpoint.expect("an endpoint"));
            config.cascade.follow.retry_upward = std::time::Duration::from_secs(1);
        })
        .await;
        let options = AgentOptions {
            conversations: 6,
            rounds: Some(8),
            cascade_rounds: 4,
            patience_ms: 10_000,
            pause_ms: 20,
            backoff_ms: 1,
            upload_bytes: 2048,
            csrf_token: TOKEN.to_owned(),
            offered_streams,
            ..whole.agent()
        };
        Self {
            whole,
            stand_in,
            tasks,
            options,
        }
    }

    async fn converse(&self) -> Outcome {
        let outcome = self
            .stand_in
            .converse(self.options.clone())
            .await
            .expect("an agent");
        assert!(outcome.is_clean(), "{:?}", outcome.failures);
        outcome
    }

    /// Waits until Gravimeter has seen as many runs and calls end as the stand-in has.
    async fn settled(&self) -> Log {
        let log = self.stand_in.log();
        until(async || {
            let exposition = self.whole.get("/metrics").await;
            let shown = |metric| sum(&crate::whole::series(&exposition, metric), &[]);
            let runs = shown("gravimeter_cascade_duration_seconds_count");
            let settled = shown("gravimeter_correlations_total");
            (runs >= log.runs.len() as u64 && settled >= log.calls.len() as u64).then_some(())
        })
        .await;
        log
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.whole.get(path).await).expect("JSON")
    }

    async fn stop(self) {
        self.tasks
            .drain(std::time::Duration::from_secs(10), std::future::pending())
            .await;
        self.whole.stop().await;
    }
}

/// What the log says of one conversation, in a form that Gravimeter's answer can be compared with.
#[derive(Default)]
struct Truth<'a> {
    requests: Vec<&'a str>,
    tokens: u64,
    /// How each run ended, its calls and their tokens.
    runs: Vec<(&'static str, u64, u64)>,
}

fn truth(log: &Log) -> BTreeMap<&str, Truth<'_>> {
    let mut truth: BTreeMap<&str, Truth<'_>> = BTreeMap::new();
    for call in &log.calls {
        let of_cascade = truth.entry(&call.cascade).or_default();
        of_cascade.requests.push(&call.request);
        of_cascade.tokens += call.tokens.total();
    }
    for run in &log.runs {
        let outcome = match run.outcome {
            RunEnd::Canceled => "canceled",
            RunEnd::Error => "error",
            RunEnd::Ok => "ok",
            RunEnd::Swallowed => "swallowed",
        };
        truth
            .entry(&run.cascade)
            .or_default()
            .runs
            .push((outcome, run.calls, run.tokens.total()));
    }
    truth
        .values_mut()
        .for_each(|of_cascade| of_cascade.requests.sort_unstable());
    truth
}

async fn check(stage: &Stage, log: &Log) {
    for (
        cascade,
        Truth {
            requests,
            tokens,
            runs,
        },
    ) in truth(log)
    {
        let shown = stage.json(&format!("/v1/cascades/{cascade}")).await;
        let calls = shown["calls"].as_array().expect("calls");
        let mut joined: Vec<_> = calls
            .iter()
            .map(|call| call["request"].as_str().unwrap_or("none"))
            .collect();
        joined.sort_unstable();
        assert_eq!(joined, requests, "{cascade}: calls");
        assert_eq!(
            shown["usage"]["total_tokens"].as_u64(),
            Some(tokens),
            "{cascade}: tokens"
        );
        let mut ended: Vec<_> = shown["runs"].as_array().expect("runs").clone();
        ended.sort_by_key(|run| run["started_at"].as_str().map(str::to_owned));
        let number = |run: &Value, name: &str| run[name].as_u64().unwrap_or(u64::MAX);
        let ended: Vec<_> = ended
            .iter()
            .map(|run| {
                (
                    run["outcome"].as_str().unwrap_or("none"),
                    number(run, "calls"),
                    number(run, "total_tokens"),
                )
            })
            .collect();
        assert_eq!(ended, runs, "{cascade}: runs {}", shown["runs"]);
    }
}

async fn follows(offered_streams: OfferedStreams, source: &str) {
    let stage = Stage::set(offered_streams).await;
    stage.converse().await;
    let log = stage.settled().await;
    check(&stage, &log).await;
    let updates = stage.whole.series("gravimeter_cascade_updates_total").await;
    assert!(
        sum(&updates, &[&format!("source=\"{source}\"")]) > 0,
        "{updates:?}"
    );
    let joined = stage.whole.series("gravimeter_correlations_total").await;
    assert_eq!(sum(&joined, &["method=\"none\""]), 0, "{joined:?}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_stream_of_the_agents_state() {
    follows(
        OfferedStreams {
            agent_state: true,
            reactive: true,
        },
        "agent_state",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_reactive_streams() {
    follows(
        OfferedStreams {
            agent_state: false,
            reactive: true,
        },
        "reactive",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_asking_again_and_again() {
    follows(
        OfferedStreams {
            agent_state: false,
            reactive: false,
        },
        "polling",
    )
    .await;
}

/// Streams come and go while runs are under way: what one way does not tell, the next one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_way_is_taken_away_in_the_middle_of_a_run() {
    let all = OfferedStreams {
        agent_state: true,
        reactive: true,
    };
    let stage = Stage::set(all).await;
    let offered_streams = [
        OfferedStreams {
            agent_state: false,
            ..all
        },
        OfferedStreams {
            agent_state: false,
            reactive: false,
        },
        all,
    ];
    let switching = async {
        // A way that never told anything cannot be missed.
        while sum(
            &stage.whole.series("gravimeter_cascade_updates_total").await,
            &["source=\"agent_state\""],
        ) == 0
        {
            tokio::task::yield_now().await;
        }
        for offered_streams in offered_streams.into_iter().cycle() {
            let calls = stage.stand_in.log().calls.len();
            // Some calls later: there is always a run under way.
            while stage.stand_in.log().calls.len() < calls + 9 {
                tokio::task::yield_now().await;
            }
            stage.stand_in.set_offered_streams(offered_streams);
        }
    };
    tokio::select! {
        _ = stage.converse() => {}
        () = switching => {}
    }
    let log = stage.settled().await;
    check(&stage, &log).await;
    let updates = stage.whole.series("gravimeter_cascade_updates_total").await;
    for source in ["agent_state", "reactive", "polling"] {
        assert!(
            sum(&updates, &[&format!("source=\"{source}\"")]) > 0,
            "{source}: {updates:?}"
        );
    }
    stage.stop().await;
}
