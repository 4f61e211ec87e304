//! A Prometheus of the test's own, with the rules of the project.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{list, root, text};

/// A running Prometheus. It ends when it is dropped.
pub struct Prometheus {
    client: Client<HttpConnector, Empty<bytes::Bytes>>,
    port: u16,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes the targets once a second; `None`, aloud, where it is not installed, never so in CI.
    #[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
    pub fn start(targets: &[SocketAddr]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, configuration(targets)).expect("a file");
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = child else {
            assert!(std::env::var_os("CI").is_none(), "prometheus is not installed: scripts/test.sh does it");
            eprintln!("SKIPPED: prometheus is not installed (Debian: apt-get install prometheus)");
            return None;
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        Some(Self { client, port, _child: child, _folder: folder })
    }

    /// The values of an instant query that are numbers; none while it cannot be asked.
    ///
    /// # Panics
    /// When it is no PromQL to Prometheus.
    pub async fn values(&self, query: &str) -> Vec<f64> {
        let Some(data) = self.get("query", &[("query", query)]).await else { return vec![] };
        let values: Vec<_> = match text(&data["resultType"]) {
            "scalar" => vec![&data["result"][1]],
            _ => list(&data["result"]).iter().map(|series| &series["value"][1]).collect(),
        };
        values
            .into_iter()
            .filter_map(|value| text(value).parse().ok())
            .filter(|value: &f64| value.is_finite())
            .collect()
    }

    /// How many exemplars with a trace the series behind a query have.
    pub async fn exemplars(&self, query: &str) -> usize {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let (start, end) = ((now - 3600).to_string(), (now + 60).to_string());
        let data = self.get("query_exemplars", &[("query", query), ("start", &start), ("end", &end)]).await;
        let data = data.unwrap_or_default();
        let all = list(&data).iter().flat_map(|series| list(&series["exemplars"]));
        all.filter(|exemplar| text(&exemplar["labels"]["trace_id"]).len() == 32).count()
    }

    /// Name and expression of every rule that it has loaded.
    pub async fn rules(&self) -> Vec<(String, String)> {
        let data = self.get("rules", &[]).await.expect("an answer");
        let rules = list(&data["groups"]).iter().flat_map(|group| list(&group["rules"]));
        rules.map(|rule| (text(&rule["name"]).to_owned(), text(&rule["query"]).to_owned())).collect()
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let encode = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let parameters = parameters.iter().map(encode).collect::<Vec<_>>().join("&");
        let uri = format!("http://127.0.0.1:{}/api/v1/{path}?{parameters}", self.port).parse().expect("a URI");
        let answer = self.client.get(uri).await.ok()?;
        // Until its storage is open it answers in words of its own.
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        let mut answer: Value = serde_json::from_slice(&body).ok()?;
        assert_eq!(answer["status"], "success", "{parameters}: {}", answer["error"]);
        Some(answer["data"].take())
    }
}

fn configuration(targets: &[SocketAddr]) -> String {
    let rules = root().join("deploy/prometheus");
    let targets = targets.iter().map(|target| format!("'{target}'")).collect::<Vec<_>>().join(", ");
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{0}/rules.yml', '{0}/alerts.yml']\n\
         scrape_configs: [{{job_name: gravimeter, static_configs: [{{targets: [{targets}]}}]}}]\n",
        rules.display()
    )
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
