//! Promise: `gravimeter usage` tells the same of a running exporter and of the ledger that one has
//! left, which it leaves as it is; and a restart forgets no conversation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use crate::kit::binary::{Binary, PROGRAM};
use crate::kit::faketime;
use crate::kit::upstream::Upstream;
use crate::kit::{read_some, write_pieces};
use crate::ledger::{ANSWER, Ends, number};

pub const CASCADE: &str = "179c837c-8253-4105-902c-d37299fc89d0";

/// A call of 12 tokens that names its conversation.
pub async fn call((agent, provider): &mut Ends) {
    let id = format!("agent/{CASCADE}/1764000000000/5a3f1f0e-6a49-4a40-9f4e-5a0f6b1f5d11/7");
    let body = format!(r#"{{"model":"m","requestId":"{id}"}}"#);
    let head = "POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Length:";
    let request = format!("{head} {}\r\n\r\n{body}", body.len());
    write_pieces(agent, request.as_bytes(), &[usize::MAX], false).await;
    assert_eq!(read_some(provider, request.len()).await, request.as_bytes());
    write_pieces(provider, ANSWER, &[usize::MAX], false).await;
    assert_eq!(read_some(agent, ANSWER.len()).await, ANSWER);
}

/// Runs `gravimeter usage` as somebody in a far country, whose home is empty.
fn usage(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("TZ", "Asia/Kathmandu")
        .arg("usage")
        .args(arguments);
    command.output().expect("the program runs")
}

fn out(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&out(output)).expect("JSON")
}

/// Everything in a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let named =
        |path: std::path::PathBuf| (path.display().to_string(), fs::read(&path).expect("a file"));
    files.filter(|path| path.is_file()).map(named).collect()
}

async fn cascades(binary: &Binary) -> Value {
    let answer = binary.ask(&format!("/v1/cascades/{CASCADE}"), "").await;
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exporter_and_the_ledger_that_it_leaves_tell_the_same() {
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let mut ends = upstream.pair(&binary).await;
    call(&mut ends).await;
    call(&mut ends).await;
    binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 2)
        .await;
    let (web, state) = (binary.web.to_string(), binary.state());
    let place = [
        "--web.listen",
        &web,
        "--state.dir",
        state.to_str().expect("UTF-8"),
    ];
    let ask = |more: &[&str]| usage(&[&place[..], more].concat());
    let questions: [&[&str]; 7] = [
        &["--csv"],
        &["--csv", "--by", "cascade"],
        &["--by", "day", "--csv", "--since", "2026-01-01"],
        &["--by", "hour", "--csv", "--tz=-03:30"],
        &["--by", "operation", "--limit", "1"],
        &["--by", "provider", "--since", "24h"],
        &["--by", "day"],
    ];
    let told: Vec<String> = questions
        .iter()
        .map(|question| out(&ask(question)))
        .collect();
    assert!(
        told[0].starts_with("model,provider,") && told[0].contains("\r\nm,gcp.gen_ai,,2,14,"),
        "{}",
        told[0]
    );
    assert!(
        told[1].contains(&format!("\r\n{CASCADE},m,,2,14,")),
        "{}",
        told[1]
    );
    let day = told[6].lines().nth(2).expect("a line").to_owned();
    assert!(
        told[6].starts_with("DAY") && day.contains("24") && !day.contains('█'),
        "{}",
        told[6]
    );
    let whole = json(&ask(&["--json", "--by", "hour"]));
    let hours = whole["hours"].as_object().expect("hours");
    assert!(
        hours.keys().all(|hour| hour.ends_with("+05:45")),
        "the zone of this machine: {whole}"
    );

    // Only what is shown in place of a file has a bar.
    let shown = Command::new("script")
        .env("TZ", "Asia/Kathmandu")
        .args([
            "-qec",
            &format!("stty cols 120; exec {PROGRAM} usage --by day --url http://{web}"),
            "/dev/null",
        ])
        .output()
        .expect("script");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains('█') && shown.contains(day.trim_end()),
        "{shown}"
    );

    let folder = binary.kill().await;
    let killed = files(&state);
    assert!(
        killed.keys().any(|name| name.ends_with("ledger.db-wal")),
        "what a kill leaves: {:?}",
        killed.keys()
    );
    let compare = |told: &[String]| {
        for (question, told) in questions.iter().zip(told) {
            let answer = ask(question);
            assert_eq!(out(&answer), *told, "{question:?}");
            assert!(
                err(&answer).contains("nothing answers at http://")
                    && err(&answer).contains("ledger.db holds")
            );
        }
    };
    compare(&told);
    // The index of the log is nobody's, and made anew by whoever reads.
    let lasting = |mut files: BTreeMap<String, Vec<u8>>| {
        files.retain(|name, _| !name.ends_with("-shm"));
        files
    };
    assert_eq!(lasting(files(&state)), lasting(killed));

    let binary = Binary::with(
        tokio::process::Command::new(PROGRAM),
        folder,
        &upstream.flags(&[]),
    )
    .await;
    let conversation = cascades(&binary).await;
    assert_eq!(conversation["usage"]["total_tokens"], 24, "{conversation}");
    assert_eq!(
        conversation["calls"].as_array().map(Vec::len),
        Some(2),
        "{conversation}"
    );
    let mut ends = upstream.pair(&binary).await;
    call(&mut ends).await;
    binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 3)
        .await;
    let conversation = cascades(&binary).await;
    assert_eq!(conversation["usage"]["total_tokens"], 36, "{conversation}");
    let calls = conversation["calls"].as_array().expect("calls");
    let began: Vec<Timestamp> = calls
        .iter()
        .map(|call| call["started_at"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(
        began.len() == 3 && began.is_sorted_by(|newer, older| newer >= older),
        "the last one first: {began:?}"
    );
    let page = binary.ask("/", "").await;
    assert!(page.contains(&CASCADE[..8]), "{page}");

    let path = state.join("ledger.db");
    let (mut binary, flags) = (binary, place);
    binary.signal(rustix::process::Signal::TERM);
    assert!(binary.exit().await.success());
    // Whoever closes the file last takes what stands beside it into it, and away.
    number(&path, "SELECT count(*) FROM calls");
    let left = files(&state);
    assert!(
        !left.keys().any(|name| name.ends_with("-wal")),
        "{:?}",
        left.keys()
    );
    let all = json(&usage(&[&flags[..], &["--json"]].concat()));
    assert_eq!(all["totals"]["total_tokens"], 36);
    assert_eq!(files(&state), left, "nothing is changed or left behind");

    // A file that this version cannot read is told, and left as it is.
    for (version, told) in [(99, "has version 99"), (0, "earlier version")] {
        Connection::open(&path)
            .expect("a ledger")
            .pragma_update(None, "user_version", version)
            .expect("written");
        let left = files(&state);
        let answer = ask(&[]);
        assert!(
            answer.status.code() == Some(1) && err(&answer).contains(told),
            "{}",
            err(&answer)
        );
        assert_eq!(files(&state), left);
    }
}

/// Days by their names are those of the reader's clock and zone, also on days of 23 and 25 hours.
#[tokio::test]
async fn a_ledger_is_asked_for_days_by_their_names() {
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    call(&mut upstream.pair(&binary).await).await;
    binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 1)
        .await;
    let state = binary.state();
    let folder = binary.kill().await;
    let since = |zone: &str, clock: &str, name: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("TZ", zone)
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME", format!("@{clock}"))
            .args([
                "usage",
                "--json",
                "--since",
                name,
                "--web.listen",
                "127.0.0.1:1",
            ])
            .arg("--state.dir")
            .arg(&state);
        json(&command.output().expect("the program runs"))["since"].clone()
    };
    for (zone, clock, name, expected) in [
        (
            "Europe/Berlin",
            "2027-03-29 10:00:00",
            "today",
            "2027-03-28T22:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2027-03-29 10:00:00",
            "yesterday",
            "2027-03-27T23:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2027-10-31 23:30:00",
            "today",
            "2027-10-30T22:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2027-11-01 00:30:00",
            "sunday",
            "2027-10-30T22:00:00Z",
        ),
        (
            "Asia/Kathmandu",
            "2027-11-01 00:30:00",
            "monday",
            "2027-10-31T18:15:00Z",
        ),
    ] {
        assert_eq!(since(zone, clock, name), expected, "{zone} {clock} {name}");
    }
    // All of it is of one week and one month, whichever these are.
    for (by, groups) in [("week", "weeks"), ("month", "months")] {
        let arguments = [
            "--json",
            "--by",
            by,
            "--web.listen",
            "127.0.0.1:1",
            "--state.dir",
        ];
        let told = json(&usage(
            &[&arguments[..], &[state.to_str().expect("UTF-8")]].concat(),
        ));
        let groups = told[groups].as_object().expect("groups");
        let calls: Vec<_> = groups.values().map(|group| &group["calls"]).collect();
        assert_eq!(calls, [1], "{told}");
    }
    drop(folder);
}

#[test]
fn where_there_is_neither_both_are_told_with_the_remedy() {
    let home = tempfile::tempdir().expect("a folder");
    let (state, socket) = (home.path().join("state"), home.path().join("socket"));
    let state = state.to_str().expect("UTF-8");
    let places = [
        ["--web.listen", "127.0.0.1:1"],
        ["--web.socket", socket.to_str().expect("UTF-8")],
    ];
    for place in places {
        let answer = usage(&[&place[..], &["--state.dir", state]].concat());
        assert_eq!(answer.status.code(), Some(1));
        let said = err(&answer);
        assert!(
            said.contains("is `gravimeter serve` running")
                && said.contains("/state/ledger.db: start gravimeter"),
            "{said}"
        );
        assert!(!Path::new(state).exists(), "nothing is made");
    }
    let answer = usage(&["--url", "http://127.0.0.1:1", "--state.dir", state]);
    assert!(
        answer.status.code() == Some(1) && !err(&answer).contains("ledger"),
        "{}",
        err(&answer)
    );
    for wrong in [
        ["--since", "tomorrow"],
        ["--tz", "Mars/Olympus"],
        ["--limit", "0"],
        ["--by", "colour"],
    ] {
        assert_eq!(usage(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}
