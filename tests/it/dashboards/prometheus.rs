//! What the proof asks a Prometheus that has the rules of the project.

use std::net::{SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{list, root, text};
use crate::kit::prometheus;

/// A running Prometheus. It ends when it is dropped.
pub struct Prometheus(prometheus::Prometheus);

impl Prometheus {
    /// Scrapes the targets once a second; skips the test where Prometheus is not installed.
    pub fn start(targets: &[SocketAddr]) -> Option<Self> {
        let rules =
            ["rules.yml", "alerts.yml"].map(|file| root().join("deploy/prometheus").join(file));
        prometheus::Prometheus::of(targets, &rules).map(Self)
    }

    /// The values of an instant query that are numbers; none while it cannot be asked.
    ///
    /// # Panics
    /// When it is no PromQL to Prometheus.
    pub async fn values(&self, query: &str) -> Vec<f64> {
        let Some(data) = self.0.get("query", &[("query", query)]).await else {
            return vec![];
        };
        let values: Vec<_> = match text(&data["resultType"]) {
            "scalar" => vec![&data["result"][1]],
            _ => list(&data["result"])
                .iter()
                .map(|series| &series["value"][1])
                .collect(),
        };
        values
            .into_iter()
            .filter_map(|value| text(value).parse().ok())
            .filter(|value: &f64| value.is_finite())
            .collect()
    }

    /// How many exemplars with a trace the series behind a query have.
    pub async fn exemplars(&self, query: &str) -> usize {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock")
            .as_secs();
        let (start, end) = ((now - 3600).to_string(), (now + 60).to_string());
        let data = self
            .0
            .get(
                "query_exemplars",
                &[("query", query), ("start", &start), ("end", &end)],
            )
            .await;
        let data = data.unwrap_or_default();
        let all = list(&data)
            .iter()
            .flat_map(|series| list(&series["exemplars"]));
        all.filter(|exemplar| text(&exemplar["labels"]["trace_id"]).len() == 32)
            .count()
    }

    /// Name and expression of every rule that it has loaded.
    pub async fn rules(&self) -> Vec<(String, String)> {
        let data = self.0.get("rules", &[]).await.expect("an answer");
        let rules = list(&data["groups"])
            .iter()
            .flat_map(|group| list(&group["rules"]));
        rules
            .map(|rule| {
                (
                    text(&rule["name"]).to_owned(),
                    text(&rule["query"]).to_owned(),
                )
            })
            .collect()
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
