//! the whole program in this process, as `gravimeter serve` builds it, between a stand-in agent and a
//! stand-in provider.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gravimeter::app::{App, Surroundings, Tasks};
use gravimeter::config::{Config, Inputs, Places, keys, load};
use gravimeter::demo::agent::AgentOptions;
use gravimeter::demo::provider::{Provider, ProviderOptions};
use gravimeter::demo::{ANTHROPIC_HOST, CHATGPT_HOST, CLOUD_CODE_HOST};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A running Gravimeter with its provider.
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

        let hosts = [
            CLOUD_CODE_HOST,
            "generativelanguage.googleapis.com",
            ANTHROPIC_HOST,
            CHATGPT_HOST,
        ];
        let resolve = hosts.map(|host| format!("{host}:443={}", provider.addr));
        let mut config = configuration(
            state.path(),
            &[
                ("upstream.extra_roots", &roots.display().to_string()),
                ("upstream.resolve", &resolve.join(",")),
            ],
        );
        change(&mut config);
        let app = App::start(config, Surroundings::default())
            .await
            .expect("a running Gravimeter");
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

    /// An agent that comes through the CONNECT proxy and trusts what Gravimeter tells it to.
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

    /// Ends Gravimeter in peace; the exporter's last word is no longer to be had then.
    pub async fn stop(self) {
        self.app.stop(std::future::pending()).await;
        self.provider_tasks
            .drain(std::time::Duration::from_secs(10), std::future::pending())
            .await;
    }
}

/// A checked configuration with free ports and the CONNECT proxy, and what `settings` say beside.
pub fn configuration(state: &Path, settings: &[(&str, &str)]) -> Config {
    let state = state.display().to_string();
    let base = [
        ("web.listen", "127.0.0.1:0"),
        ("capture.listen", "127.0.0.1:0"),
        ("capture.connect_listen", "127.0.0.1:0"),
        ("capture.redirect", "off"),
        ("state.dir", state.as_str()),
    ];
    let key = |name: &str| keys().find(|key| key.name == name).expect("a key");
    let flags = base.iter().chain(settings);
    let inputs = Inputs {
        file: None,
        flags: flags
            .map(|(name, text)| (key(name), vec![(*text).to_owned()]))
            .collect(),
        places: Places {
            config_file: "/nonexistent/gravimeter.toml".into(),
            state_dir: "/nonexistent/state".into(),
        },
        variables: Vec::new(),
    };
    load(&inputs).expect("a configuration").config
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
