//! The whole house in this process, as `gravimeter serve` builds it, between a stand-in agent and a
//! stand-in provider.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use gravimeter::app::{App, Tasks};
use gravimeter::config::Config;
use gravimeter::demo::CLOUD_CODE_HOST;
use gravimeter::demo::agent::AgentOptions;
use gravimeter::demo::provider::{Provider, ProviderOptions};
use gravimeter::record::Host;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A running house with its provider.
pub struct Whole {
    pub app: App,
    pub provider: Provider,
    pub provider_tasks: Tasks,
    pub state: TempDir,
}

impl Whole {
    pub async fn start(script: ProviderOptions) -> Self {
        Self::with(script, |_| ()).await
    }

    pub async fn with(script: ProviderOptions, change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let provider_tasks = Tasks::default();
        let provider = Provider::start(
            script,
            any_port(),
            provider_tasks.tracker(),
            provider_tasks.stopping(),
        )
        .await
        .expect("a provider");
        let roots = state.path().join("provider-root.pem");
        std::fs::write(&roots, provider.root_pem()).expect("a writable folder");

        let mut config = Config::new(state.path().to_owned());
        config.web.listen = Some(any_port());
        config.capture.redirect_listen = vec![any_port()];
        config.capture.connect_listen = Some(any_port());
        config.redirect.expected = false;
        config.upstream.extra_roots = vec![roots];
        for host in [CLOUD_CODE_HOST, "generativelanguage.googleapis.com"] {
            config
                .relay
                .resolve
                .insert((Host::parse(host).expect("a host"), 443), provider.addr);
        }
        change(&mut config);
        let app = App::start(config, None).await.expect("a house");
        Self {
            app,
            provider,
            provider_tasks,
            state,
        }
    }

    pub fn bundle(&self) -> PathBuf {
        self.state.path().join("trust/bundle.pem")
    }

    pub fn connect(&self) -> SocketAddr {
        self.app.addresses().connect.expect("a CONNECT proxy")
    }

    /// An agent that comes through the CONNECT proxy and trusts what the house tells it to.
    pub fn agent(&self) -> AgentOptions {
        AgentOptions {
            bundle: self.bundle(),
            proxy: Some(self.connect()),
            ..AgentOptions::default()
        }
    }

    pub fn exporter(&self) -> SocketAddr {
        self.app.addresses().exporter().expect("an exporter")
    }

    /// The body of an answer of the exporter.
    pub async fn get(&self, path: &str) -> String {
        get(self.exporter(), path).await
    }

    /// The values of one metric, by their labels as they stand in the exposition.
    pub async fn series(&self, metric: &str) -> BTreeMap<String, f64> {
        series(&self.get("/metrics").await, metric)
    }

    /// Ends the house in peace; the exporter's last word is no longer to be had then.
    pub async fn stop(self) {
        self.app.stop(std::future::pending()).await;
        self.provider_tasks
            .drain(std::time::Duration::from_secs(10), std::future::pending())
            .await;
    }
}

pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The sum over all series whose labels hold every one of `parts`.
pub fn sum(series: &BTreeMap<String, f64>, parts: &[&str]) -> u64 {
    let chosen = series
        .iter()
        .filter(|(labels, _)| parts.iter().all(|part| labels.contains(part)));
    chosen.map(|(_, value)| *value as u64).sum()
}

pub fn series(exposition: &str, metric: &str) -> BTreeMap<String, f64> {
    let of_metric = |line: &&str| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let lines = exposition.lines().filter(of_metric);
    lines
        .map(|line| {
            let (labels, value) = line[metric.len()..].rsplit_once(' ').expect("a value");
            (labels.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

pub async fn get(exporter: SocketAddr, path: &str) -> String {
    get_with(exporter, path, "").await
}

/// With further fields in the request, each with its end of line.
pub async fn get_with(exporter: SocketAddr, path: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(exporter).await.expect("an exporter");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {exporter}\r\n{fields}Connection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{path} has a length"
    );
    body.to_owned()
}
