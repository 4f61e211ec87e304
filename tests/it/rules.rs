//! Promise: a rule changes exactly what it says, visibly; without one, and on hosts that no rule is
//! for, not a byte differs.

use std::fs;
use std::path::Path;

use gravimeter::demo::CLOUD_CODE_HOST;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::collector::{Collector, Reply, text};
use crate::kit::upstream::{AgentEnd, ProviderEnd, Upstream};
use crate::kit::{read_some, soon, write_pieces};
use crate::ledger::ANSWER;

const BODY: &str = r#"{"model":"gemini-2.5-pro", "request":{"contents":[], "generationConfig":{"temperature":0.10}}}"#;

const RULES: &str = r#"
[[rule]]
name = "tone"
match = { operation = "chat" }
append_system = "Answer briefly."
continue = true

[[rule]]
name = "cheaper"
match = { model = "gemini-*-pro" }
model = "gemini-2.5-flash"
"#;

/// What the rules make of [`BODY`]: all else has its bytes.
const CHANGED: &str = r#"{"model":"gemini-2.5-flash", "request":{"contents":[], "generationConfig":{"temperature":0.10},"systemInstruction":{"parts":[{"text":"Answer briefly."}]}}}"#;

/// A request with its head and body.
fn request() -> Vec<u8> {
    let head = format!(
        "POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: {CLOUD_CODE_HOST}\r\nX-Own: Kept\r\nContent-Length: {}\r\n\r\n",
        BODY.len()
    );
    [head.as_bytes(), BODY.as_bytes()].concat()
}

/// The next request: its head, and its body by the length that the head tells.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("ASCII");
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .expect("a length");
    let body = read_some(stream, length).await;
    (head, String::from_utf8(body).expect("UTF-8"))
}

/// One call; returns what the provider got.
async fn call((agent, provider): &mut (AgentEnd, ProviderEnd)) -> (String, String) {
    write_pieces(agent, &request(), &[usize::MAX], false).await;
    let got = read_request(provider).await;
    write_pieces(provider, ANSWER, &[usize::MAX], false).await;
    read_answer(agent).await;
    got
}

async fn read_answer(agent: &mut AgentEnd) {
    let mut answer = Vec::new();
    let body = ANSWER
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a head");
    while !answer.ends_with(&ANSWER[body..]) {
        answer.push(soon(agent.read_u8()).await.expect("an answer"));
    }
}

/// The groups of the usage by rule, as key and calls.
async fn usage_by_rule(binary: &Binary) -> Vec<String> {
    let answer = binary.ask("/v1/usage?by=rule", "").await;
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let report: Value = serde_json::from_str(body).expect("JSON");
    let groups = report["rules"].as_object().expect("groups");
    groups
        .iter()
        .map(|(key, group)| format!("{key} {}", group["calls"]))
        .collect()
}

fn write(folder: &Path, rules: &str) {
    fs::write(folder.join("rules.toml"), rules).expect("written");
}

async fn start(folder: TempDir, upstream: &Upstream, rules: &Path, more: &[&str]) -> Binary {
    let rules = rules.to_str().expect("UTF-8");
    let flags = upstream.flags(&[&["--rules.folder", rules][..], more].concat());
    Binary::with(Command::new(PROGRAM), folder, &flags).await
}

#[tokio::test]
async fn a_changed_request_is_seen_everywhere_also_after_a_restart() {
    let upstream = Upstream::start().await;
    let rules = tempfile::tempdir().expect("a folder");
    write(rules.path(), RULES);
    let collector = Collector::start(&[Reply::Take]).await;
    let endpoint = format!("http://{}", collector.addr);
    let otlp = [
        "--otlp.endpoint",
        &endpoint,
        "--otlp.protocol",
        "http/protobuf",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let binary = start(folder, &upstream, rules.path(), &otlp).await;
    let mut ends = upstream.pair(&binary).await;
    let (head, body) = call(&mut ends).await;
    assert_eq!(body, CHANGED);
    assert!(head.contains("X-Own: Kept\r\n"), "{head}");
    assert!(
        head.starts_with("POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1\r\n"),
        "{head}"
    );
    for rule in ["tone", "cheaper"] {
        let rule = format!("rule=\"{rule}\"");
        let parts = [rule.as_str(), "result=\"applied\""];
        binary
            .wait_for("gravimeter_rules_applied_total", &parts, 1)
            .await;
    }
    let flash = ["model=\"gemini-2.5-flash\"", "outcome=\"ok\""];
    binary.wait_for("gravimeter_calls_total", &flash, 1).await;
    assert_eq!(usage_by_rule(&binary).await, ["tone+cheaper 1"]);
    let span = until(async || {
        let spans = collector.all();
        spans
            .into_iter()
            .find(|span| text(span, "gravimeter.asked_model").is_some())
    })
    .await;
    assert_eq!(
        text(&span, "gravimeter.asked_model"),
        Some("gemini-2.5-pro")
    );
    assert_eq!(
        text(&span, "gen_ai.request.model"),
        Some("gemini-2.5-flash")
    );
    drop(ends);

    let folder = binary.kill().await;
    let binary = start(folder, &upstream, rules.path(), &[]).await;
    assert_eq!(usage_by_rule(&binary).await, ["tone+cheaper 1"]);
    binary.stop().await;
}

#[tokio::test]
async fn an_edit_holds_soon_and_a_broken_one_keeps_the_rules_before() {
    let upstream = Upstream::start().await;
    let rules = tempfile::tempdir().expect("a folder");
    write(rules.path(), RULES);
    let folder = tempfile::tempdir().expect("a folder");
    let binary = start(folder, &upstream, rules.path(), &[]).await;
    assert_eq!(binary.sum("gravimeter_rules_active", &[]).await, 2);
    write(rules.path(), "[[rule]]\nname = \"x\"\ncolour = 1\n");
    binary.wait_for("gravimeter_rules_broken", &[], 1).await;
    assert_eq!(binary.sum("gravimeter_rules_active", &[]).await, 2);
    assert!(
        binary
            .log()
            .contains("rules.toml:3: colour: there is no such key")
    );
    let page = binary.ask("/", "").await;
    assert!(page.contains("The last edit has mistakes"), "{page}");
    let mut ends = upstream.pair(&binary).await;
    assert_eq!(call(&mut ends).await.1, CHANGED);
    drop(ends);

    // Without rules, the bytes are those of the agent.
    write(rules.path(), "");
    until(async || {
        let active = binary.sum("gravimeter_rules_active", &[]).await;
        let broken = binary.sum("gravimeter_rules_broken", &[]).await;
        (active + broken == 0).then_some(())
    })
    .await;
    let (mut agent, mut provider) = upstream.pair(&binary).await;
    let sent = request();
    write_pieces(&mut agent, &sent, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut provider, sent.len()).await, sent);
    write_pieces(&mut provider, ANSWER, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER);
    binary.stop().await;
}

#[tokio::test]
async fn a_denied_request_never_reaches_the_provider() {
    let upstream = Upstream::start().await;
    let rules = tempfile::tempdir().expect("a folder");
    let no = "[[rule]]\nname = \"no\"\nmatch = { model = \"gemini-*\" }\ndeny = \"not this one\"\n";
    write(rules.path(), no);
    let folder = tempfile::tempdir().expect("a folder");
    let binary = start(folder, &upstream, rules.path(), &[]).await;
    let (mut agent, mut provider) = upstream.pair(&binary).await;
    write_pieces(&mut agent, &request(), &[usize::MAX], false).await;
    let (head, body) = read_request(&mut agent).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(
        body.contains("PERMISSION_DENIED") && body.contains("not this one"),
        "{body}"
    );
    let denied = ["rule=\"no\"", "result=\"denied\""];
    binary
        .wait_for("gravimeter_rules_applied_total", &denied, 1)
        .await;
    drop(agent);
    let mut sent = Vec::new();
    let _ = soon(provider.read_to_end(&mut sent)).await;
    assert!(sent.is_empty(), "{}", String::from_utf8_lossy(&sent));
    binary.stop().await;
}

#[tokio::test]
async fn a_dry_run_is_counted_and_changes_no_byte() {
    let upstream = Upstream::start().await;
    let rules = tempfile::tempdir().expect("a folder");
    let dry = RULES.replace("name =", "dry_run = true\nname =");
    write(rules.path(), &dry);
    let folder = tempfile::tempdir().expect("a folder");
    let binary = start(folder, &upstream, rules.path(), &[]).await;
    let (mut agent, mut provider) = upstream.pair(&binary).await;
    let sent = request();
    write_pieces(&mut agent, &sent, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut provider, sent.len()).await, sent);
    write_pieces(&mut provider, ANSWER, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER);
    for rule in ["tone", "cheaper"] {
        let rule = format!("rule=\"{rule}\"");
        let parts = [rule.as_str(), "result=\"dry_run\""];
        binary
            .wait_for("gravimeter_rules_applied_total", &parts, 1)
            .await;
    }
    assert_eq!(usage_by_rule(&binary).await, ["none 1"]);
    binary.stop().await;
}
