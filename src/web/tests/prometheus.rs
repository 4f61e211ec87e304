//! A real Prometheus scrapes the endpoint and answers for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};

use super::kit::Gravimeter;
use crate::export::tests::kit::{call, every_fact, run, sampled, unsampled};
use crate::record::{Call, CascadeRun, Fact, Record as _};
use crate::skip;

/// Ends the process with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_prometheus_understands_every_scrape() {
    let gravimeter = Gravimeter::open().await;
    every_fact()
        .into_iter()
        .for_each(|fact| gravimeter.facts.record(fact));
    gravimeter.took(call("<&{}>@#"));
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port().await;
    let Some(_prometheus) = start(dir.path(), port, gravimeter.addr.port()) else {
        return;
    };
    let tokens = timeout(PATIENCE, wait_for(port, "sum(gravimeter_tokens_total)"))
        .await
        .expect("a scrape in time");
    assert_eq!(tokens, "240");
    for (query, answer) in [
        ("up", "1"),
        ("sum(gravimeter_calls_total{outcome=\"ok\"})", "2"),
        ("gravimeter_calls_in_flight{provider=\"gcp.gen_ai\"}", "0"),
        (
            "sum(gen_ai_client_inference_usage_input_tokens_total)",
            "200",
        ),
        (
            "count(gravimeter_call_duration_seconds_bucket{le=\"+Inf\"})",
            "2",
        ),
        ("count(process_start_time_seconds)", "1"),
    ] {
        assert_eq!(ask(port, query).await.as_deref(), Some(answer), "{query}");
    }
}

#[tokio::test]
async fn a_prometheus_leads_from_a_bucket_to_its_trace() {
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(Call {
        trace: Some(sampled(0xa, 0xb)),
        ..call("slow")
    });
    gravimeter.took(Call {
        trace: Some(unsampled(0xc, 0xd)),
        ..call("unsampled")
    });
    gravimeter.facts.record(Fact::RunEnded(Box::new(CascadeRun {
        trace: Some(sampled(0xa, 0xe)),
        ..run("c", "slow")
    })));
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port().await;
    let Some(_prometheus) = start(dir.path(), port, gravimeter.addr.port()) else {
        return;
    };
    let calls = timeout(PATIENCE, wait_for(port, "sum(gravimeter_calls_total)"))
        .await
        .expect("a scrape in time");
    assert_eq!(calls, "2");
    let call = "0000000000000000000000000000000a 000000000000000b at 1790000001.5";
    let of_bucket = exemplars(port, "gravimeter_call_duration_seconds_bucket{le=\"2.56\"}").await;
    assert_eq!(
        of_bucket,
        BTreeSet::from([format!(
            "gravimeter_call_duration_seconds_bucket 2.56: {call}"
        )])
    );
    let all = exemplars(port, "{__name__=~\".+_bucket\"}").await;
    let run = "0000000000000000000000000000000a 000000000000000e at 1790000010";
    let expected = BTreeSet::from([
        format!("gravimeter_call_duration_seconds_bucket 2.56: {call}"),
        format!("gravimeter_cascade_duration_seconds_bucket 12.8: {run}"),
        format!("gravimeter_time_to_first_chunk_seconds_bucket 0.32: {call}"),
    ]);
    assert_eq!(all, expected);
}

/// Skips the test where Prometheus is not installed.
fn start(dir: &Path, port: u16, target: u16) -> Option<Killed> {
    if !skip::has_program("prometheus", "prometheus") {
        return None;
    }
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: g, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    );
    std::fs::write(&config, text).expect("a config");
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--enable-feature=exemplar-storage")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Some(Killed(command.spawn().expect("prometheus")))
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
}

async fn wait_for(port: u16, query: &str) -> String {
    let mut tick = interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        if let Some(answer) = ask(port, query).await {
            return answer;
        }
    }
}

/// The value of the first series that an instant query finds.
async fn ask(port: u16, query: &str) -> Option<String> {
    let data = get(port, "query", &[("query", query)]).await?;
    data["result"][0]["value"][1].as_str().map(str::to_owned)
}

/// `name le: trace_id span_id at time` of every exemplar that the query's series have.
async fn exemplars(port: u16, query: &str) -> BTreeSet<String> {
    let data = get(port, "query_exemplars", &[("query", query)])
        .await
        .expect("an answer");
    let text =
        |value: &serde_json::Value, name: &str| value[name].as_str().expect("text").to_owned();
    let mut found = BTreeSet::new();
    for series in data.as_array().expect("series") {
        let bucket = format!(
            "{} {}",
            text(&series["seriesLabels"], "__name__"),
            text(&series["seriesLabels"], "le")
        );
        for exemplar in series["exemplars"].as_array().expect("exemplars") {
            let labels = &exemplar["labels"];
            let ids = format!("{} {}", text(labels, "trace_id"), text(labels, "span_id"));
            found.insert(format!("{bucket}: {ids} at {}", exemplar["timestamp"]));
        }
    }
    found
}

/// What Prometheus answers to a question of its HTTP interface.
async fn get(port: u16, path: &str, parameters: &[(&str, &str)]) -> Option<serde_json::Value> {
    let encode = |text: &str| {
        text.bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect::<String>()
    };
    let query: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let request = format!("GET /api/v1/{path}?{} {head}", query.join("&"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let body = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let mut answer: serde_json::Value = serde_json::from_str(body).ok()?;
    Some(answer["data"].take())
}

/// Prometheus replays its storage and scrapes once a second; a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
