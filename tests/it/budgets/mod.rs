//! Promise: a budget that is used up stops new calls and no running one; its sums are those of the
//! ledger, also after a kill; and who is to be told is told.

mod alertmanager;
mod forwarded;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::upstream::{REQUEST, Upstream, begin, enter, finish, go_on};
use crate::kit::{read_all, read_some, soon, write_pieces};
use crate::ledger::{ANSWER, call};
use gravimeter::demo::CLOUD_CODE_HOST;

/// The flags of a program with these budgets.
pub fn flags(upstream: &Upstream, budgets: &str) -> Vec<String> {
    upstream.flags(&["--budget", budgets])
}

/// What `/v1/budgets` says of a budget.
pub async fn status(binary: &Binary, name: &str) -> Value {
    let answer = binary.ask("/v1/budgets", "").await;
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let answer: Value = serde_json::from_str(body).expect("JSON");
    let budgets = answer["budgets"].as_array().expect("budgets");
    let mut named = budgets.iter().filter(|budget| budget["name"] == name);
    named.next().expect("a budget of that name").clone()
}

/// Waits until so much of a budget is spent.
async fn spent(binary: &Binary, name: &str, used: f64) {
    until(async || (status(binary, name).await["used"].as_f64()? >= used).then_some(())).await;
}

/// Whether a new connection is let through to the provider.
async fn passes(upstream: &Upstream, binary: &Binary) -> bool {
    let agent = Agent::new(&binary.root_pem(), &["http/1.1"]);
    let tcp = enter(binary.connect).await;
    tokio::select! {
        // Where it is let through, both may have come about.
        biased;
        accepted = upstream.provider.accept() => {
            accepted.expect("the provider is verified");
            true
        }
        refused = agent.handshake(tcp, CLOUD_CODE_HOST) => {
            let error = refused.expect_err("nobody answered").to_string();
            assert!(error.contains("AccessDenied"), "{error}");
            false
        }
    }
}

/// Runs `gravimeter budget` with these arguments; the exit code and everything that it says.
async fn budget(state: &Path, arguments: &[&str]) -> (i32, String) {
    let ran = Command::new(PROGRAM)
        .arg("budget")
        .args(arguments)
        .arg("--state.dir")
        .arg(state)
        .output();
    let ran = soon(ran).await.expect("the program starts");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    (ran.status.code().expect("an end of its own"), said)
}

#[tokio::test]
async fn new_calls_are_stopped_and_running_ones_end_whole() {
    let upstream = Upstream::start().await;
    let budgets = r#"[{ name = "three", calls = 3, per = "day", stop = 1.0 }, { name = "other", calls = 1, per = "day" }]"#;
    let binary = Binary::start(&flags(&upstream, budgets)).await;
    let mut idle = upstream.pair(&binary).await;
    let mut running = upstream.stream(&binary).await;
    let mut kept = upstream.pair(&binary).await;
    for _ in 0..3 {
        assert_eq!(status(&binary, "three").await["stops"], 0);
        call(&mut kept).await;
    }
    // Nothing was open on either of them.
    for (agent, provider) in [&mut idle, &mut kept] {
        assert_eq!(read_all(agent).await, (vec![], true), "closed in order");
        assert_eq!(read_all(provider).await, (vec![], true), "closed in order");
    }
    let stopped = status(&binary, "three").await;
    assert_eq!(
        (&stopped["state"], &stopped["stops"]),
        (&"stopped".into(), &1.into())
    );
    assert_eq!(
        status(&binary, "other").await["state"],
        "warned",
        "it never stops"
    );
    assert!(!passes(&upstream, &binary).await);
    for _ in 0..20 {
        go_on(&mut running.0, &mut running.1).await;
    }
    write_pieces(&mut running.1, crate::kit::upstream::LAST, &[7], false).await;
    let (last, in_order) = read_all(&mut running.0).await;
    assert_eq!(
        (&last[..], in_order),
        (crate::kit::upstream::LAST, true),
        "whole, then closed"
    );
    spent(&binary, "three", 4.0).await;
    let metrics = [
        ("gravimeter_budget_stops_total", "budget=\"three\"", 1),
        ("gravimeter_budget_stops_total", "budget=\"other\"", 0),
        (
            "gravimeter_connections_refused_total",
            "reason=\"budget\"",
            1,
        ),
    ];
    for (metric, label, expected) in metrics {
        assert_eq!(
            binary.sum(metric, &[label]).await,
            expected,
            "{metric} {label}"
        );
    }

    let state = binary.state();
    let (code, said) = budget(&state, &["lift", "tree", "--for", "1h"]).await;
    assert!(
        code == 1 && said.contains("there is no budget \"tree\": there are three, other"),
        "{said}"
    );
    let (code, said) = budget(&state, &["lift", "three", "--for", "0s"]).await;
    assert!(code == 2 && said.contains("30m"), "{said}");
    assert!(!passes(&upstream, &binary).await);
    let (code, said) = budget(&state, &["lift", "three", "--for", "1h"]).await;
    assert!(code == 0 && said.starts_with("Calls pass until "), "{said}");
    assert!(passes(&upstream, &binary).await);
    upstream.call(&binary).await;
    assert_eq!(status(&binary, "three").await["state"], "lifted");
    let url = format!("http://{}", binary.web);
    let (code, said) = budget(&state, &["--url", &url]).await;
    assert!(
        code == 0 && said.contains("three") && said.contains("lifted until"),
        "{said}"
    );
    binary.stop().await;
    let (code, said) = budget(&state, &["lift", "three", "--for", "1h"]).await;
    assert!(code == 1 && said.contains("control.sock"), "{said}");
}

/// A lift ends by itself, and an open connection is closed then.
#[tokio::test]
async fn what_is_lifted_stops_again() {
    let upstream = Upstream::start().await;
    let budgets = r#"[{ name = "one", calls = 1, per = "day", stop = 1.0 }]"#;
    let binary = Binary::start(&flags(&upstream, budgets)).await;
    upstream.call(&binary).await;
    spent(&binary, "one", 1.0).await;
    let (code, said) = budget(&binary.state(), &["lift", "one", "--for", "2s"]).await;
    assert_eq!(code, 0, "{said}");
    let (mut agent, mut provider) = upstream.pair(&binary).await;
    begin(&mut agent, &mut provider).await;
    until(async || (status(&binary, "one").await["state"] == "stopped").then_some(())).await;
    go_on(&mut agent, &mut provider).await;
    finish(&mut agent, &mut provider).await;
    assert!(!passes(&upstream, &binary).await);
    assert_eq!(status(&binary, "one").await["stops"], 2);
    binary.stop().await;
}

#[tokio::test]
async fn a_model_is_stopped_once_a_call_has_shown_it() {
    let upstream = Upstream::start().await;
    let budgets = r#"[{ name = "m", calls = 1, per = "day", by = "model", only = ["m*"], stop = 1.0 },
        { name = "n", calls = 1, per = "day", by = "model", only = ["n*"], stop = 1.0 }]"#;
    let binary = Binary::start(&flags(&upstream, budgets)).await;
    for calls in 1..=2 {
        // The model is not known before its call.
        let mut ends = upstream.pair(&binary).await;
        call(&mut ends).await;
        assert_eq!(
            read_all(&mut ends.0).await,
            (vec![], true),
            "closed after the call"
        );
        spent(&binary, "m", f64::from(calls)).await;
    }
    assert_eq!(
        status(&binary, "n").await["used"],
        0,
        "it is for other models"
    );
    binary.stop().await;
}

/// Answers every request of a connection, and counts them.
async fn serve(upstream: Arc<Upstream>, tcp: TcpStream, answered: Arc<AtomicU64>) {
    let Ok(mut tls) = upstream.provider.handshake(tcp).await else {
        return;
    };
    let mut request = vec![0; REQUEST.len()];
    while tls.read_exact(&mut request).await.is_ok() {
        assert_eq!(request, REQUEST);
        answered.fetch_add(1, Ordering::Relaxed);
        tls.write_all(ANSWER).await.expect("an agent");
        tls.flush().await.expect("an agent");
    }
}

/// A hundred agents that call one after the other: what is spent exceeds the limit by no more than
/// what was in flight, no call is cut off, and both sides have counted the same.
#[tokio::test]
async fn a_hundred_parallel_callers_overshoot_by_what_was_in_flight() {
    const CALLERS: u64 = 100;
    const LIMIT: u64 = 250;
    let upstream = Arc::new(Upstream::start().await);
    let budgets = format!(r#"[{{ name = "all", calls = {LIMIT}, per = "day", stop = 1.0 }}]"#);
    let binary = Binary::start(&flags(&upstream, &budgets)).await;
    let (answered, complete, asked) = (
        Arc::<AtomicU64>::default(),
        AtomicU64::new(0),
        AtomicU64::new(0),
    );
    let mut provider = JoinSet::new();
    provider.spawn({
        let (upstream, answered) = (Arc::clone(&upstream), Arc::clone(&answered));
        async move {
            let mut connections = JoinSet::new();
            loop {
                let tcp = upstream.provider.accept_tcp().await;
                connections.spawn(serve(Arc::clone(&upstream), tcp, Arc::clone(&answered)));
            }
        }
    });
    let root = binary.root_pem();
    let door = binary.connect;
    let callers = (0..CALLERS).map(|_| async {
        let agent = Agent::new(&root, &["http/1.1"]);
        // New connections, each for a few calls.
        'connections: loop {
            let tcp = enter(door).await;
            let Ok(mut tls) = agent.handshake(tcp, CLOUD_CODE_HOST).await else {
                return;
            };
            for _ in 0..3 {
                if tls.write_all(REQUEST).await.is_err() || tls.flush().await.is_err() {
                    continue 'connections;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                let mut answer = vec![0; ANSWER.len()];
                let mut read = 0;
                while read < answer.len() {
                    match tls.read(&mut answer[read..]).await {
                        // Closed between two calls: this one was never carried.
                        Ok(0) | Err(_) if read == 0 => {
                            asked.fetch_sub(1, Ordering::Relaxed);
                            continue 'connections;
                        }
                        Ok(more @ 1..) => read += more,
                        end => panic!("cut off after {read} bytes: {end:?}"),
                    }
                }
                assert_eq!(answer, ANSWER);
                complete.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    soon(futures_util::future::join_all(callers)).await;
    let (answered, complete) = (
        answered.load(Ordering::Relaxed),
        complete.load(Ordering::Relaxed),
    );
    assert_eq!(
        answered, complete,
        "what the provider has answered has arrived"
    );
    spent(&binary, "all", complete as f64).await;
    assert_eq!(
        status(&binary, "all").await["used"].as_u64(),
        Some(complete)
    );
    assert!(
        (LIMIT..LIMIT + CALLERS).contains(&complete),
        "{complete} calls for a limit of {LIMIT}"
    );
    provider.abort_all();
    binary.stop().await;
}

/// What `/v1/usage` says of today.
async fn usage(binary: &Binary, by: &str) -> Value {
    let answer = binary
        .ask(&format!("/v1/usage?since=today&tz=UTC&by={by}"), "")
        .await;
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).expect("JSON")
}

/// What a budget and `/v1/usage` say of today is the same.
async fn agree(binary: &Binary, ok: u64, interrupted: u64) {
    let totals = usage(binary, "model").await["totals"].clone();
    assert_eq!(totals["calls"], ok + interrupted);
    let programs = usage(binary, "program").await["programs"].clone();
    let programs = programs.as_object().expect("programs").iter();
    // Nothing waits until it is found: of a short call, or one that was cut off, it may not be.
    let known = programs.filter(|(name, _)| *name != "unknown");
    let of_programs: u64 = known
        .map(|(_, group)| group["calls"].as_u64().expect("calls"))
        .sum();
    let (calls, tokens) = (totals["calls"].as_u64(), totals["total_tokens"].as_u64());
    for (name, expected) in [
        ("calls", calls),
        ("tokens", tokens),
        ("model", tokens),
        ("program", Some(of_programs)),
    ] {
        let status = status(binary, name).await;
        let used = match status["groups"].as_array().expect("groups") {
            groups if groups.is_empty() => status["used"].as_u64(),
            groups => groups.iter().map(|group| group["used"].as_u64()).sum(),
        };
        assert_eq!(used, expected, "{name}: {status}");
        assert_eq!(status["is_lower_bound"], false, "{name}");
    }
}

#[tokio::test]
async fn sums_are_those_of_the_ledger_after_a_kill() {
    let upstream = Upstream::start().await;
    let mut folder = tempfile::tempdir().expect("a folder");
    let common = r#"per = "day", zone = "UTC""#;
    let budgets = format!(
        r#"[{{ name = "calls", calls = 1000, {common} }}, {{ name = "tokens", tokens = 100000, {common} }},
        {{ name = "model", tokens = 100000, by = "model", {common} }}, {{ name = "program", calls = 1000, by = "program", {common} }},
        {{ name = "stop", calls = 12, stop = 1.0, {common} }}]"#
    );
    let flags = flags(&upstream, &budgets);
    let (mut ok, mut interrupted) = (0, 0);
    for _ in 0..3 {
        let binary = Binary::with(Command::new(PROGRAM), folder, &flags).await;
        agree(&binary, ok, interrupted).await;
        let mut ends = upstream.pair(&binary).await;
        for _ in 0..3 {
            call(&mut ends).await;
            ok += 1;
        }
        let open = upstream.stream(&binary).await;
        binary
            .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], ok)
            .await;
        binary.wait_for("gravimeter_calls_in_flight", &[], 1).await;
        agree(&binary, ok, interrupted).await;
        interrupted += 1;
        folder = binary.kill().await;
        drop(open);
    }
    let binary = Binary::with(Command::new(PROGRAM), folder, &flags).await;
    agree(&binary, ok, interrupted).await;
    assert_eq!(
        status(&binary, "stop").await["state"],
        "stopped",
        "12 calls were spent before"
    );
    assert!(
        !passes(&upstream, &binary).await,
        "from the first connection on"
    );
    binary.stop().await;
}

#[tokio::test]
async fn a_desktop_is_notified() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("said");
    let program = folder.path().join("notify-send");
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> {}\n", said.display());
    std::fs::write(&program, script).expect("a folder of ours");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).expect("ours");
    let mut command = Command::new(PROGRAM);
    command.env("PATH", folder.path());
    let flags = upstream.flags(&[
        "--budget",
        r#"[{ name = "one", calls = 1, per = "day", stop = 1.0 }]"#,
        "--notify.desktop=true",
    ]);
    let state = tempfile::tempdir().expect("a folder");
    let binary = Binary::with(command, state, &flags).await;
    upstream.call(&binary).await;
    let sent = ["target=\"desktop\"", "result=\"sent\""];
    binary
        .wait_for("gravimeter_notifications_total", &sent, 1)
        .await;
    let said = std::fs::read_to_string(&said).expect("it ran");
    assert!(
        said.contains("--urgency=critical") && said.contains("budget one: no new call is carried"),
        "{said}"
    );
    binary.stop().await;
}

/// Nothing of a budget is on the path of a program without one.
#[tokio::test]
async fn without_a_budget_there_is_none() {
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    upstream.call(&binary).await;
    let answer = binary.ask("/v1/budgets", "").await;
    assert!(
        answer.ends_with(r#"{"budgets":[],"changes":[]}"#),
        "{answer}"
    );
    assert!(!binary.state().join("control.sock").exists());
    let (agent, provider) = &mut upstream.pair(&binary).await;
    write_pieces(agent, b"GET / HTTP/1.1\r\n\r\n", &[usize::MAX], false).await;
    assert_eq!(read_some(provider, 18).await, b"GET / HTTP/1.1\r\n\r\n");
    binary.stop().await;
}
