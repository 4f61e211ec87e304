//! A real Prometheus that scrapes a Gravimeter every second, and keeps its exemplars.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::binary::until;
use crate::skip;
use crate::whole::any_port;

/// It ends when it is dropped.
pub struct Prometheus {
    pub addr: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// One that has scraped `gravimeter`; skips the test where Prometheus is not installed.
    pub async fn start(gravimeter: SocketAddr) -> Option<Self> {
        let prometheus = Self::of(&[gravimeter], &[])?;
        until(async || (prometheus.value("up").await == Some(1.0)).then_some(())).await;
        Some(prometheus)
    }

    /// One that begins to scrape the targets and has the files of rules. The same.
    pub fn of(targets: &[SocketAddr], rules: &[PathBuf]) -> Option<Self> {
        Self::with("", &[], targets, rules)
    }

    /// The same, with further features and options of the scrape (`, name: value` in YAML).
    pub fn with(
        options: &str,
        features: &[&str],
        targets: &[SocketAddr],
        rules: &[PathBuf],
    ) -> Option<Self> {
        skip::has_program("prometheus", "prometheus")
            .then(|| Self::run(Path::new("prometheus"), options, features, targets, rules))
    }

    /// The same of the Prometheus 3 that the variable `PROMETHEUS_3` names; skips the test where
    /// it names none.
    pub fn third(options: &str, features: &[&str], targets: &[SocketAddr]) -> Option<Self> {
        let Some(program) = std::env::var_os("PROMETHEUS_3") else {
            skip::skip("PROMETHEUS_3 names no Prometheus 3");
            return None;
        };
        Some(Self::run(
            Path::new(&program),
            options,
            features,
            targets,
            &[],
        ))
    }

    fn run(
        program: &Path,
        options: &str,
        features: &[&str],
        targets: &[SocketAddr],
        rules: &[PathBuf],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let scrape = format!(
            "{{job_name: gravimeter, static_configs: [{{targets: [{}]}}]{options}}}",
            quoted(targets)
        );
        let rules = quoted(&rules.iter().map(|path| path.display()).collect::<Vec<_>>());
        let global = "global: {scrape_interval: 1s, evaluation_interval: 1s}";
        std::fs::write(
            &config,
            format!("{global}\nrule_files: [{rules}]\nscrape_configs: [{scrape}]\n"),
        )
        .expect("a writable folder");
        let addr = free_address();
        let features = [&["exemplar-storage"], features].concat().join(",");
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            .arg(format!("--enable-feature={features}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            addr,
            client,
            _child: child,
            _folder: folder,
        }
    }

    /// The value of the one series that an instant query finds.
    pub async fn value(&self, query: &str) -> Option<f64> {
        let found = self.get("query", &[("query", query)]).await?;
        found["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Every exemplar of the series that the query names, with their labels, as the API's
    /// documentation has them.
    pub async fn exemplars(&self, query: &str) -> Vec<(Value, Value)> {
        let found = self
            .get("query_exemplars", &[("query", query)])
            .await
            .expect("exemplars");
        let of = |series: &Value| {
            let labels = series["seriesLabels"].clone();
            let exemplars = series["exemplars"].as_array().expect("exemplars").clone();
            exemplars
                .into_iter()
                .map(move |exemplar| (labels.clone(), exemplar))
        };
        found
            .as_array()
            .expect("series")
            .iter()
            .flat_map(of)
            .collect()
    }

    /// The data of an answer of its API; `None` while it cannot be asked.
    ///
    /// # Panics
    /// When it refuses the question.
    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let encode = |(name, value): &(&str, &str)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        };
        let parameters = parameters.iter().map(encode).collect::<Vec<_>>().join("&");
        let uri = format!("http://{}/api/v1/{path}?{parameters}", self.addr)
            .parse()
            .expect("a URI");
        let answer = self.client.get(uri).await.ok()?;
        // Until its storage is open it answers in words of its own.
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        let mut answer: Value = serde_json::from_slice(&body).ok()?;
        assert_eq!(
            answer["status"], "success",
            "{parameters}: {}",
            answer["error"]
        );
        Some(answer["data"].take())
    }
}

/// An address on loopback that nobody listens at now.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(any_port())
        .and_then(|free| free.local_addr())
        .expect("a port")
}

fn quoted(items: &[impl Display]) -> String {
    items
        .iter()
        .map(|item| format!("'{item}'"))
        .collect::<Vec<_>>()
        .join(", ")
}
