//! A real Prometheus scrapes the endpoint and answers for it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};

use super::kit::House;
use crate::export::tests::kit::{call, every_fact};
use crate::record::Record as _;

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
    let house = House::open().await;
    every_fact().into_iter().for_each(|fact| house.facts.record(fact));
    house.took(call("<&{}>@#"));
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port().await;
    let Some(_prometheus) = start(dir.path(), port, house.addr.port()) else { return };
    let tokens = timeout(PATIENCE, wait_for(port, "sum(gravimeter_tokens_total)")).await.expect("a scrape in time");
    assert_eq!(tokens, "240");
    for (query, answer) in [
        ("up", "1"),
        ("sum(gravimeter_calls_total{outcome=\"ok\"})", "2"),
        ("gravimeter_calls_in_flight{provider=\"gcp.gen_ai\"}", "0"),
        ("sum(gen_ai_client_inference_usage_input_tokens_total)", "200"),
        ("count(gravimeter_call_duration_seconds_bucket{le=\"+Inf\"})", "2"),
        ("count(process_start_time_seconds)", "1"),
    ] {
        assert_eq!(ask(port, query).await.as_deref(), Some(answer), "{query}");
    }
}

#[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
fn start(dir: &std::path::Path, port: u16, target: u16) -> Option<Killed> {
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: g, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    );
    std::fs::write(&config, text).expect("a config");
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(prometheus) = command.spawn() else {
        eprintln!("SKIPPED: prometheus is not installed (Debian: apt-get install prometheus)");
        return None;
    };
    Some(Killed(prometheus))
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
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let request = format!("GET /api/v1/query?query={encoded} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let body = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let answer: serde_json::Value = serde_json::from_str(body).ok()?;
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}

/// Prometheus replays its storage and scrapes once a second; a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
