//! Promise: the traffic never notices that conversations are followed, whatever the agent's own
//! port does; and what goes wrong there is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use gravimeter::app::Tasks;
use gravimeter::cascade::client::{Endpoint, Token};
use gravimeter::demo::Tally;
use gravimeter::demo::agent::{
    AgentOptions, Log, OfferedStreams, Outcome, StandIn, converse, start,
};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::launch::Choice;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::kit::binary::{PROGRAM, until};
use crate::kit::pki::Pki;
use crate::kit::soon;
use crate::whole::{Whole, any_port, sum};

const TOKEN: &str = "3d6f0a52-csrf-canary";
const ERRORS: &str = "gravimeter_cascade_follow_errors_total";

fn script() -> ProviderOptions {
    ProviderOptions {
        seed: 5,
        max_events: 6,
        pause_ms: 2,
        ..ProviderOptions::default()
    }
}

fn endpoint(http: SocketAddr, token: &str) -> Endpoint {
    Endpoint::new(Some(http), None, Token::new(token)).expect("an endpoint")
}

/// A Gravimeter that is to follow `endpoint`.
async fn gravimeter(endpoint: Endpoint) -> Whole {
    Whole::with(script(), |config| {
        config.cascade.endpoint = Some(endpoint);
        config.cascade.follow.poll_interval = Duration::from_millis(20);
        config.cascade.follow.idle_interval = Duration::from_millis(100);
    })
    .await
}

fn chatty(whole: &Whole) -> AgentOptions {
    AgentOptions {
        conversations: 4,
        rounds: Some(4),
        backoff_ms: 1,
        upload_bytes: 2048,
        csrf_token: TOKEN.to_owned(),
        ..whole.agent()
    }
}

/// A stand-in that wants [`TOKEN`].
async fn stand_in(tasks: &Tasks) -> StandIn {
    let options = AgentOptions {
        csrf_token: TOKEN.to_owned(),
        ..AgentOptions::default()
    };
    start(&options, tasks.tracker(), tasks.stopping())
        .await
        .expect("a stand-in")
}

async fn end(tasks: Tasks) {
    assert!(
        soon(tasks.drain(Duration::from_secs(30), std::future::pending())).await,
        "nothing was cut off"
    );
}

/// Everything that was sent has arrived.
async fn check_traffic(whole: &Whole, outcome: &Outcome) {
    assert!(outcome.is_clean(), "{:?}", outcome.failures);
    let exchanges = |tally: &Tally| -> u64 {
        tally
            .models
            .values()
            .map(|model| model.calls + model.refused + model.aborted + model.counted)
            .sum()
    };
    let calls = exchanges(&outcome.tally);
    assert!(calls > 0);
    let truth = soon(whole.provider.truth_when(|truth| exchanges(truth) >= calls)).await;
    assert_eq!(
        truth, outcome.tally,
        "the agent received what the provider sent"
    );
}

/// Calls are joined to their conversations by what the wire alone tells, as far as it does, and to
/// no other's.
async fn check_wire(whole: &Whole, log: &Log) {
    let mut made: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for call in &log.calls {
        made.entry(&call.cascade).or_default().insert(&call.request);
    }
    until(async || {
        let mut joined = 0;
        for (cascade, made) in &made {
            let Some(calls) = calls(whole, cascade).await else {
                continue;
            };
            assert!(
                calls.iter().all(|call| made.contains(call.as_str())),
                "{cascade}: {calls:?} of {made:?}"
            );
            joined += calls.len();
        }
        // Half of the conversations name themselves.
        (joined * 3 >= log.calls.len()).then_some(())
    })
    .await;
}

/// The calls of a conversation as Gravimeter shows them; `None` when it is not known.
async fn calls(whole: &Whole, cascade: &str) -> Option<Vec<String>> {
    let known = whole.get("/v1/cascades").await;
    known.contains(cascade).then_some(())?;
    let shown: Value =
        serde_json::from_str(&whole.get(&format!("/v1/cascades/{cascade}")).await).expect("JSON");
    let calls = shown["calls"].as_array().expect("calls").iter();
    Some(
        calls
            .map(|call| call["request"].as_str().unwrap_or("none").to_owned())
            .collect(),
    )
}

/// An agent talks through a Gravimeter that follows in vain.
async fn in_vain(endpoint: Endpoint, reason: &str) {
    let (whole, tasks) = (gravimeter(endpoint).await, Tasks::default());
    let outcome = converse(chatty(&whole), tasks.tracker(), tasks.stopping())
        .await
        .expect("an agent");
    check_traffic(&whole, &outcome).await;
    check_wire(&whole, &outcome.log).await;
    let label = format!("reason=\"{reason}\"");
    until(async || (sum(&whole.series(ERRORS).await, &[&label]) >= 1).then_some(())).await;
    let errors = whole.series(ERRORS).await;
    assert_eq!(sum(&errors, &[]), sum(&errors, &[&label]), "{errors:?}");
    // An answer of 200 is asserted there.
    whole.get("/readyz").await;
    soon(whole.stop()).await;
    end(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens_there() {
    // A socket that is bound and does not listen refuses, and nobody else gets its port.
    let bound = tokio::net::TcpSocket::new_v4().expect("a socket");
    bound.bind(any_port()).expect("a port");
    in_vain(
        endpoint(bound.local_addr().expect("its address"), TOKEN),
        "connect",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_wrong() {
    let tasks = Tasks::default();
    let stand_in = stand_in(&tasks).await;
    in_vain(
        endpoint(SocketAddr::from(([127, 0, 0, 1], stand_in.http)), "wrong"),
        "bad_token",
    )
    .await;
    end(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_accepts_and_never_answers() {
    let silent = TcpListener::bind(any_port()).await.expect("a port");
    in_vain(
        endpoint(silent.local_addr().expect("its address"), TOKEN),
        "timeout",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_speaks_garbage() {
    let (listener, tasks) = (
        TcpListener::bind(any_port()).await.expect("a port"),
        Tasks::default(),
    );
    let addr = listener.local_addr().expect("its address");
    let stopping = tasks.stopping().clone();
    tasks
        .tracker()
        .spawn(stopping.run_until_cancelled_owned(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 4096];
                let _ = tcp.read(&mut request).await;
                let _ = tcp
                    .write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n\0\xff\xfe garbage\r\n\r\n")
                    .await;
                let _ = tcp.shutdown().await;
                let _ = tcp.read(&mut request).await;
            }
        }));
    in_vain(endpoint(addr, TOKEN), "malformed").await;
    end(tasks).await;
}

/// Calls of each conversation as Gravimeter shows them, against the stand-in's own log.
async fn check_calls(whole: &Whole, log: &Log) {
    until(async || {
        let settled = whole.series("gravimeter_correlations_total").await;
        (sum(&settled, &[]) >= log.calls.len() as u64).then_some(())
    })
    .await;
    let cascades: BTreeSet<&str> = log.calls.iter().map(|call| call.cascade.as_str()).collect();
    for cascade in cascades {
        let of_cascade = log.calls.iter().filter(|call| call.cascade == cascade);
        let mut made: Vec<_> = of_cascade.map(|call| call.request.clone()).collect();
        let mut joined = calls(whole, cascade).await.unwrap_or_default();
        made.sort_unstable();
        joined.sort_unstable();
        assert_eq!(joined, made, "{cascade}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_cut_and_switched_off_lose_no_call() {
    let tasks = Tasks::default();
    let stand_in = stand_in(&tasks).await;
    let whole = Whole::with(script(), |config| {
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let endpoint = Endpoint::new(
            address(stand_in.http),
            address(stand_in.https),
            Token::new(TOKEN),
        );
        config.cascade.endpoint = Some(endpoint.expect("an endpoint"));
        config.cascade.follow.poll_interval = Duration::from_millis(50);
        config.cascade.follow.idle_interval = Duration::from_millis(500);
        config.cascade.follow.retry_upward = Duration::from_millis(200);
    })
    .await;
    let options = AgentOptions {
        rounds: Some(12),
        pause_ms: 20,
        patience_ms: 10_000,
        ..chatty(&whole)
    };
    // Trouble comes as calls go by, so that it falls into the conversations however fast they are.
    let trouble = async {
        for (calls, agent_state, reactive) in [
            (10, true, true),
            (20, false, true),
            (35, false, true),
            (45, false, false),
            (60, true, true),
            (75, true, true),
        ] {
            until(async || (stand_in.log().calls.len() >= calls).then_some(())).await;
            stand_in.set_offered_streams(OfferedStreams {
                agent_state,
                reactive,
            });
            stand_in.cut();
        }
    };
    let (outcome, ()) = tokio::join!(stand_in.converse(options), trouble);
    let outcome = outcome.expect("an agent");
    check_traffic(&whole, &outcome).await;
    check_calls(&whole, &stand_in.log()).await;
    let errors = whole.series(ERRORS).await;
    assert!(sum(&errors, &["reason=\"truncated\""]) > 0, "{errors:?}");
    assert!(sum(&errors, &["reason=\"disabled\""]) > 0, "{errors:?}");
    soon(whole.stop()).await;
    end(tasks).await;
}

/// An agent that is supervised without a preset says late, and unasked, where it listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_announcement_is_heard() {
    let (tasks, folder) = (Tasks::default(), tempfile::tempdir().expect("a folder"));
    let stand_in = stand_in(&tasks).await;
    let go = folder.path().join("go");
    let agent = format!(
        "until [ -e '{go}' ]; do sleep 0.05; done\n\
         echo 'I0602 12:00:00.0 7 server.go:485] Language server listening on random port at {https} for HTTPS (gRPC)' >&2\n\
         echo 'I0602 12:00:00.0 7 server.go:492] Language server listening on random port at {http} for HTTP' >&2\n\
         exec sleep 600",
        go = go.display(),
        https = stand_in.https,
        http = stand_in.http,
    );
    let whole = Whole::with(script(), |config| {
        config.agent = Some(Choice::Command("/bin/sh".into()));
        config.launch.args = vec!["-c".to_owned(), agent];
        config.launch.program = Some(PROGRAM.into());
        config.supervision.stop_timeout = Duration::from_secs(1);
        config.cascade.token = Token::new(TOKEN);
    })
    .await;
    until(async || (sum(&whole.series("gravimeter_agent_up").await, &[]) == 1).then_some(())).await;
    std::fs::write(go, "").expect("a file");
    // It is asked for its quotas as soon as it is followed.
    until(async || {
        whole
            .get("/v1/quotas")
            .await
            .contains("gemini")
            .then_some(())
    })
    .await;
    let outcome = stand_in.converse(chatty(&whole)).await.expect("an agent");
    check_traffic(&whole, &outcome).await;
    check_calls(&whole, &stand_in.log()).await;
    soon(whole.stop()).await;
    end(tasks).await;
}

/// An agent that somebody else has started is found by its name and asked on its ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_language_server_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = Pki::new().write_root(folder.path());
    // Its provider does not answer: it talks on all the same.
    let refuses = tokio::net::TcpSocket::new_v4().expect("a socket");
    refuses.bind(any_port()).expect("a port");
    let options = AgentOptions {
        bundle,
        proxy: Some(refuses.local_addr().expect("its address")),
        conversations: 2,
        rounds: None,
        pause_ms: 200,
        ..AgentOptions::default()
    };
    let options = serde_json::to_string(&options).expect("JSON");
    let mut agent = Command::new(PROGRAM);
    agent
        .arg0("/opt/antigravity/language_server_linux_x64")
        .args(["demo-agent", "--options", &options]);
    agent
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut agent = agent.spawn().expect("an agent");
    // Both ports are open when it has announced them.
    let mut said = String::new();
    let mut stderr = agent.stderr.take().expect("a pipe");
    while !said.contains("for HTTP\n") {
        let mut piece = [0; 1024];
        let count = soon(stderr.read(&mut piece)).await.expect("a word");
        assert!(count > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let whole = Whole::with(script(), |config| {
        config.cascade.attach = true;
        config.discovery_folders = Vec::new();
    })
    .await;
    until(async || {
        let updates = whole.series("gravimeter_cascade_updates_total").await;
        (sum(&updates, &["source=\"agent_state\""]) > 0).then_some(())
    })
    .await;
    agent.kill().await.expect("a process");
    until(async || (sum(&whole.series(ERRORS).await, &["reason=\"connect\""]) > 0).then_some(()))
        .await;
    soon(whole.stop()).await;
}
