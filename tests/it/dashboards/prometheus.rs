//! What the proof asks a Prometheus that has the rules of the project.

use std::net::{SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{list, root, text};
use crate::kit::prometheus;

/// Which buckets of histograms a Prometheus keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Histograms {
    /// Those of the text formats, each a series of its own.
    Classic,
    /// Native ones alone, which it asks for by protobuf.
    Native,
}

/// A running Prometheus. It ends when it is dropped.
pub struct Prometheus(prometheus::Prometheus);

impl Prometheus {
    /// Scrapes the targets once a second; skips the test where Prometheus is not installed.
    pub fn start(targets: &[SocketAddr], histograms: Histograms) -> Option<Self> {
        let rules =
            ["rules.yml", "alerts.yml"].map(|file| root().join("deploy/prometheus").join(file));
        let features = match histograms {
            Histograms::Classic => &[][..],
            Histograms::Native => &["native-histograms"],
        };
        prometheus::Prometheus::with("", features, targets, &rules).map(Self)
    }

    /// The values of an instant query that are finite numbers; none while it cannot be asked.
    ///
    /// # Panics
    /// When it is no PromQL to Prometheus.
    pub async fn values(&self, query: &str) -> Vec<f64> {
        let mut values = self.all_values(query).await;
        values.retain(|value| value.is_finite());
        values
    }

    /// The same, with those that are infinite or NaN. That of a native histogram is how many
    /// observations it has.
    pub async fn all_values(&self, query: &str) -> Vec<f64> {
        let Some(data) = self.0.get("query", &[("query", query)]).await else {
            return vec![];
        };
        let values: Vec<_> = match text(&data["resultType"]) {
            "scalar" => vec![&data["result"][1]],
            _ => list(&data["result"])
                .iter()
                .map(|series| match &series["histogram"][1] {
                    Value::Null => &series["value"][1],
                    histogram => &histogram["count"],
                })
                .collect(),
        };
        values
            .into_iter()
            .filter_map(|value| text(value).parse().ok())
            .collect()
    }

    /// The finite edges of the classic buckets of a histogram, in order.
    pub async fn edges(&self, family: &str) -> Vec<f64> {
        let query = format!("group by (le) ({family}_bucket)");
        let data = self.0.get("query", &[("query", &query)]).await;
        let data = data.unwrap_or_default();
        let edges = list(&data["result"])
            .iter()
            .filter_map(|series| text(&series["metric"]["le"]).parse().ok());
        let mut edges: Vec<f64> = edges.filter(|edge: &f64| edge.is_finite()).collect();
        edges.sort_by(f64::total_cmp);
        edges
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
