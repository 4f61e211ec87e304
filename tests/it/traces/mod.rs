//! Promise: spans come to the collector as they are, and whatever a collector does, each one is
//! exported or counted as lost for its reason. A real collector judges the first, one with a script
//! the second.

mod bucket;
mod conversation;
pub mod decoder;
mod demo;
mod deploy;
mod diagnostics;
pub mod facts;
mod faults;
mod picture;
pub mod real;
mod runs;
mod sampling;
mod tls;
mod tree;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gravimeter::export::Metrics;
use gravimeter::export::formats::Format;
use gravimeter::export::otlp::{Config, Endpoint, Exporter, Protocol, Resource};
use gravimeter::export::traces::Traces;
use gravimeter::record::{Fact, Sink as _};
use rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kit::pki::crypto;
use crate::kit::soon;
use crate::whole::{series, sum};

/// The way of a span from a fact to the collector.
pub struct Way {
    pub traces: Traces,
    exporter: Option<Exporter>,
    metrics: Metrics,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Way {
    pub fn new(config: &Config) -> Self {
        let metrics = Metrics::new(gravimeter::export::Config::default(), Arc::default());
        let (traces, exporter) =
            Traces::new(config, Resource::new(config), metrics.spans()).expect("an endpoint");
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        Self {
            traces,
            exporter: Some(exporter),
            metrics,
            tasks,
            stopping,
        }
    }

    pub fn started(config: &Config) -> Self {
        let mut way = Self::new(config);
        way.start(no_roots());
        way
    }

    pub fn start(&mut self, tls: ClientConfig) {
        let exporter = self.exporter.take().expect("not started yet");
        let run = exporter.run(tls, self.tasks.clone(), self.stopping.clone());
        self.tasks.spawn(run);
    }

    pub fn state(&self, facts: impl IntoIterator<Item = Fact>) {
        facts
            .into_iter()
            .for_each(|fact| self.traces.receive(&fact));
    }

    /// Ends the exporter in peace and says what became of the spans.
    pub async fn end(self) -> Fate {
        self.stopping.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
        self.fate()
    }

    pub fn fate(&self) -> Fate {
        let exposition =
            String::from_utf8(self.metrics.encode(Format::Text).expect("an exposition"))
                .expect("text");
        let dropped = series(&exposition, "gravimeter_otlp_spans_dropped_total");
        let reason = |labels: &str| {
            labels
                .trim_start_matches("{reason=\"")
                .trim_end_matches("\"}")
                .to_owned()
        };
        let lost = dropped.iter().filter(|(_, count)| **count > 0.0);
        Fate {
            exported: sum(
                &series(&exposition, "gravimeter_otlp_spans_exported_total"),
                &[],
            ),
            lost: lost
                .map(|(labels, count)| (reason(labels), *count as u64))
                .collect(),
        }
    }
}

/// What became of spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub exported: u64,
    pub lost: BTreeMap<String, u64>,
}

pub fn fate(exported: u64, lost: &[(&str, u64)]) -> Fate {
    Fate {
        exported,
        lost: lost
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect(),
    }
}

/// Impatient, so that a test of patience is a short one.
pub fn config(addr: SocketAddr, protocol: Protocol) -> Config {
    Config {
        endpoint: Endpoint::parse(&format!("http://{addr}")),
        protocol,
        timeout: Duration::from_secs(5),
        give_up_after: Duration::from_secs(20),
        flush_interval: Duration::from_millis(10),
        ..Config::default()
    }
}

pub const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

pub fn no_roots() -> ClientConfig {
    ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
