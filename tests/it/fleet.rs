//! Promise: the files of `deploy/fleet` bring the figures of many machines to one place, to the
//! token.
//!
//! A real Prometheus on each machine, another one as their store, ClickHouse as a library, and the
//! very files that are shipped: only addresses and the pause between scrapes are the test's own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use gravimeter::demo::agent::{AgentOptions, converse};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::Endpoint;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::agreement::exchanges;
use crate::deploy::{free_port, read, run_with};
use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply};
use crate::skip;
use crate::whole::{Whole, sum};

/// One Prometheus with a shipped configuration. It ends when it is dropped.
struct Prometheus {
    _child: Child,
    _folder: tempfile::TempDir,
    addr: SocketAddr,
}

impl Prometheus {
    async fn start(file: &str, to_set: &[(&str, String)], machine: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = to_set.iter().fold(
            read(&format!("deploy/fleet/{file}")),
            |text, (shipped, own)| {
                assert!(
                    text.contains(shipped),
                    "{file} has {shipped}, which is to be set"
                );
                text.replace(shipped, own)
            },
        );
        fs::write(folder.path().join(file), config).expect("a writable folder");
        let addr = free_port();
        let mode = if file == "prometheus-agent.yml" {
            "agent"
        } else {
            "tsdb"
        };
        let child = Command::new("prometheus")
            .arg(format!("--config.file={file}"))
            .arg(format!(
                "--storage.{mode}.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            .args(["--log.level=error"])
            .args(flags)
            .env("HOSTNAME", machine)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is installed: scripts/test.sh does it");
        until(async || TcpStream::connect(addr).await.ok()).await;
        Self {
            _child: child,
            _folder: folder,
            addr,
        }
    }

    async fn store() -> Self {
        Self::start(
            "prometheus-store.yml",
            &[],
            "",
            &["--web.enable-remote-write-receiver"],
        )
        .await
    }

    async fn agent(machine: &str, exporter: SocketAddr, store: SocketAddr) -> Self {
        let to_set = [
            ("127.0.0.1:8741", exporter.to_string()),
            ("store.example:9090", store.to_string()),
            ("scrape_interval: 15s", "scrape_interval: 1s".to_owned()),
        ];
        Self::start(
            "prometheus-agent.yml",
            &to_set,
            machine,
            &["--enable-feature=agent,expand-external-labels"],
        )
        .await
    }

    /// The answer to a query now, by the value of one label.
    async fn ask(&self, query: &str, label: &str) -> Vec<(String, f64)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let series = answer["data"]["result"].as_array().expect("a vector");
        let of = |one: &Value| {
            let value = one["value"][1].as_str()?.parse().ok()?;
            Some((one["metric"][label].as_str()?.to_owned(), value))
        };
        let mut found: Vec<_> = series.iter().filter_map(of).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.addr);
        let output = Command::new("curl")
            .args(["-s", "--max-time", "20", &url])
            .output()
            .await
            .expect("curl");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// A Gravimeter that has metered some conversations.
async fn machine(rounds: u32, collector: Option<SocketAddr>) -> Whole {
    let whole = Whole::with(
        ProviderOptions {
            seed: rounds.into(),
            max_events: 4,
            ..ProviderOptions::default()
        },
        |config| {
            config.otlp.endpoint =
                collector.and_then(|addr| Endpoint::parse(&format!("http://{addr}")));
        },
    )
    .await;
    let agent = AgentOptions {
        rounds: Some(rounds),
        pause_ms: 0,
        ..whole.agent()
    };
    let tasks = &whole.provider_tasks;
    let outcome = converse(agent, tasks.tracker(), tasks.stopping())
        .await
        .expect("an agent");
    assert!(outcome.is_clean(), "{:?}", outcome.failures);
    until(async || {
        let ended = sum(&whole.series("gravimeter_calls_total").await, &[]);
        (ended >= exchanges(&outcome.tally)).then_some(())
    })
    .await;
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_has_the_tokens_of_every_machine() {
    let store = Prometheus::store().await;
    let (first, second) = (machine(1, None).await, machine(2, None).await);
    let (at_first, at_second) = (first.exporter(), second.exporter());
    let agents = [
        Prometheus::agent("machine-1", at_first, store.addr).await,
        Prometheus::agent("machine-2", at_second, store.addr).await,
    ];
    let mut wanted = Vec::new();
    for (name, whole) in [("machine-1", &first), ("machine-2", &second)] {
        let tokens = sum(&whole.series("gravimeter_tokens_total").await, &[]);
        assert!(tokens > 0, "{name} has spent something");
        wanted.push((name.to_owned(), tokens as f64));
    }
    // A scrape may come in two requests.
    until(async || {
        let arrived = store
            .ask("sum by (machine) (gravimeter_tokens_total)", "machine")
            .await;
        (arrived == wanted).then_some(())
    })
    .await;
    assert_ne!(
        wanted[0].1, wanted[1].1,
        "machines that can be confused prove nothing"
    );
    let up = store
        .ask("sum by (machine) (up{job=\"gravimeter\"})", "machine")
        .await;
    assert_eq!(
        up,
        [("machine-1".to_owned(), 1.0), ("machine-2".to_owned(), 1.0)]
    );
    let twice = store
        .ask("count by (machine) ({__name__=~\"gen_ai_.*\"})", "machine")
        .await;
    assert!(
        twice.is_empty(),
        "what says the same again stays on the machine: {twice:?}"
    );
    let quantile =
        "histogram_quantile(0.5, sum by (le, machine) (gravimeter_call_duration_seconds_bucket))";
    assert_eq!(
        store.ask(quantile, "machine").await.len(),
        2,
        "histograms arrive whole"
    );
    drop(agents);
    first.stop().await;
    second.stop().await;
}

/// What the collector's ClickHouse exporter makes of a span: everything a text, kinds by their
/// names.
fn row(span: &Span, host: &str) -> Value {
    let time = |nanos: u64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    json!({
        "Timestamp": time(span.start_time_unix_nano),
        "TraceId": hex(&span.trace_id),
        "SpanId": hex(&span.span_id),
        "SpanName": span.name,
        "SpanKind": match span.kind() { SpanKind::Client => "Client", _ => "Internal" },
        "ResourceAttributes": { "host.name": host, "service.name": "gravimeter" },
        "SpanAttributes": texts(&span.attributes),
        "Duration": span.end_time_unix_nano - span.start_time_unix_nano,
    })
}

fn texts(attributes: &[KeyValue]) -> Value {
    let text = |value: &Any| match value {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        Any::DoubleValue(number) => number.to_string(),
        Any::BoolValue(switch) => switch.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter().filter_map(|it| {
        Some((
            it.key.clone(),
            text(it.value.as_ref()?.value.as_ref()?).into(),
        ))
    });
    Value::Object(pairs.collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The columns of the exporter's own table that our view reads.
const OTEL_TRACES: &str = "CREATE TABLE otel_traces (Timestamp DateTime64(9, 'UTC'), TraceId String, SpanId String, \
    SpanName LowCardinality(String), SpanKind LowCardinality(String), \
    ResourceAttributes Map(LowCardinality(String), String), SpanAttributes Map(LowCardinality(String), String), \
    Duration UInt64) ENGINE = MergeTree ORDER BY (SpanName, Timestamp);";

/// Runs each statement of standard input; answers become lines of JSON, one list for each question.
const CHDB: &str = r#"
import json, sys
from unittest.mock import MagicMock
# chDB insists on it, for answers of a kind that is not asked for here.
sys.modules["pyarrow"] = MagicMock()
from chdb import session
session = session.Session()
for statement in json.load(sys.stdin):
    answer = session.query(statement, "JSON")
    text = str(answer)
    if text: print(json.dumps(json.loads(text)["data"]))
"#;

fn statements(sql: &str) -> Vec<String> {
    let code: Vec<_> = sql
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    let all = code.join("\n");
    all.split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clickhouse_counts_what_gravimeter_counts() {
    let Some(chdb) = skip::tool("chDB", "chdb/chdb", None) else {
        return;
    };
    let collector = Collector::start(&[Reply::Take]).await;
    let whole = machine(3, Some(collector.addr)).await;
    let calls = sum(&whole.series("gravimeter_calls_total").await, &[]);
    let usage: Value = serde_json::from_str(&whole.get("/v1/usage").await).expect("JSON");
    whole.stop().await;

    let rows: Vec<_> = collector
        .all()
        .iter()
        .map(|span| row(span, "machine-3").to_string())
        .collect();
    assert!(
        rows.len() as u64 > calls,
        "spans of connections are among them"
    );
    let mut script = statements(OTEL_TRACES);
    script.extend(statements(&read("deploy/fleet/clickhouse/calls.sql")));
    script.push(format!(
        "INSERT INTO otel_traces FORMAT JSONEachRow {}",
        rows.join("\n")
    ));
    let questions = statements(&read("deploy/fleet/clickhouse/queries.sql"));
    script.extend(questions.clone());
    let packages = chdb.parent().expect("a folder").to_owned();
    let mut python = std::process::Command::new("python3");
    python.args(["-c", CHDB]).env("PYTHONPATH", packages);
    let said = run_with(python, json!(script).to_string().as_bytes());
    let answers: Vec<Vec<Value>> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("an answer"))
        .collect();

    assert_eq!(
        answers.len(),
        questions.len(),
        "every question has an answer: {said}"
    );
    let total = |field: &str| {
        answers[0]
            .iter()
            .map(|row| number(&row[field]))
            .sum::<u64>()
    };
    assert_eq!(total("calls"), calls, "every call is one row");
    assert_eq!(
        Some(total("total")),
        usage["totals"]["total_tokens"].as_u64()
    );
    assert!(answers[0].iter().all(|row| row["machine"] == "machine-3"));
    for (question, answer) in questions.iter().zip(&answers) {
        assert!(
            !answer.is_empty() || question.contains("outcome != 'ok'"),
            "no answer to {question}"
        );
    }
}

/// ClickHouse writes 64 bits as a text, for the sake of JavaScript.
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("a number: {value}"))
}

#[test]
fn prometheus_accepts_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet");
    for (file, flag) in [
        ("prometheus-agent.yml", Some("--agent")),
        ("prometheus-store.yml", None),
    ] {
        let mut promtool = std::process::Command::new("promtool");
        promtool
            .args(["check", "config"])
            .args(flag)
            .arg(folder.join(file));
        run_with(promtool, b"");
    }
}
