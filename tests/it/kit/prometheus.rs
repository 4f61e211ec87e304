//! A real Prometheus that scrapes a house every second, and keeps its exemplars.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::binary::until;
use crate::whole::any_port;

/// It ends when it is dropped.
pub struct Prometheus {
    pub addr: SocketAddr,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// One that has scraped `house`. `None`, aloud, where it is not installed; never so in CI.
    #[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
    pub async fn start(house: SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let scrape = format!("{{job_name: gravimeter, static_configs: [{{targets: ['{house}']}}]}}");
        std::fs::write(&config, format!("global: {{scrape_interval: 1s}}\nscrape_configs: [{scrape}]\n"))
            .expect("a writable folder");
        let addr = std::net::TcpListener::bind(any_port()).and_then(|free| free.local_addr()).expect("a port");
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = started else {
            assert!(std::env::var_os("CI").is_none(), "Prometheus is not installed: scripts/test.sh does it");
            eprintln!("SKIPPED: Prometheus is not installed (Debian: apt-get install prometheus)");
            return None;
        };
        let prometheus = Self { addr, _child: child, _folder: folder };
        until(async || (prometheus.value("up").await == Some(1.0)).then_some(())).await;
        Some(prometheus)
    }

    /// The value of the one series that an instant query finds.
    pub async fn value(&self, query: &str) -> Option<f64> {
        let found = self.ask("query", query).await?;
        found["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Every exemplar of the series that the query names, with their labels, as the API's documentation has them.
    pub async fn exemplars(&self, query: &str) -> Vec<(Value, Value)> {
        let found = self.ask("query_exemplars", query).await.expect("exemplars");
        let of = |series: &Value| {
            let labels = series["seriesLabels"].clone();
            let exemplars = series["exemplars"].as_array().expect("exemplars").clone();
            exemplars.into_iter().map(move |exemplar| (labels.clone(), exemplar))
        };
        found.as_array().expect("series").iter().flat_map(of).collect()
    }

    /// `None` while it is not ready.
    async fn ask(&self, what: &str, query: &str) -> Option<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        // In HTTP/1.0 there are no chunks.
        let request = format!("GET /api/v1/{what}?query={encoded} HTTP/1.0\r\nHost: {}\r\n\r\n", self.addr);
        let mut stream = TcpStream::connect(self.addr).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let mut body: Value = serde_json::from_str(body).ok()?;
        Some(body["data"].take())
    }
}
