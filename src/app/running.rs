//! What runs, part by part, and the order in which it ends.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::Tasks;
use crate::ledger::Ledger;
use crate::relay::Shutdown;
use crate::web::{Condition, Readiness};

/// The parts of the running program.
pub(super) struct Running {
    /// Listeners and connections of the agent.
    pub(super) traffic: Tasks,
    /// The agent and the watch over its redirect.
    pub(super) agent: Tasks,
    /// The exporter.
    pub(super) exporter: Tasks,
    /// What takes spans and metrics to the collector.
    pub(super) telemetry: Tasks,
    /// Closed last.
    pub(super) ledger: Arc<Ledger>,
    /// What holds of the conditions for `/readyz`.
    pub(super) readiness: Arc<Readiness>,
    /// How long running exchanges may take to end.
    drain: Duration,
}

impl Running {
    pub(super) fn new(ledger: Arc<Ledger>, readiness: Arc<Readiness>, drain: Duration) -> Self {
        Self {
            traffic: Tasks::default(),
            agent: Tasks::default(),
            exporter: Tasks::default(),
            telemetry: Tasks::default(),
            ledger,
            readiness,
            drain,
        }
    }

    /// Ends the traffic first and in peace, until its deadline or `hurry`; then the agent, then the
    /// exporter, then what takes spans and metrics to the collector, and the ledger.
    pub(super) async fn stop(self, hurry: impl Future<Output = ()>) {
        self.readiness.set(Condition::Listening, false);
        info!(deadline = ?self.drain, "stopping: running exchanges may end");
        if !self.traffic.drain(self.drain, hurry).await {
            warn!("running exchanges were cut off");
        }
        self.agent
            .drain(AGENT_STOP_LIMIT, std::future::pending())
            .await;
        self.exporter
            .drain(EXPORTER_STOP_LIMIT, std::future::pending())
            .await;
        // The last runs have been recorded now: no further spans come, and the counts are final.
        self.telemetry
            .drain(TELEMETRY_STOP_LIMIT, std::future::pending())
            .await;
        let ledger = self.ledger;
        let closed = tokio::task::spawn_blocking(move || ledger.close(LEDGER_STOP_LIMIT)).await;
        if !closed.unwrap_or_default() {
            warn!("the ledger was not closed in time");
        }
        info!("stopped");
    }

    /// What ends connections of the agent.
    pub(super) fn traffic_shutdown(&self) -> Shutdown {
        Shutdown {
            drain: self.traffic.stopping().clone(),
            force: self.traffic.forced().clone(),
        }
    }
}

/// Longer than `agent.stop_timeout` usually is: the supervisor itself sends SIGKILL in time.
const AGENT_STOP_LIMIT: Duration = Duration::from_secs(60);

/// A scrape that is being answered takes milliseconds.
const EXPORTER_STOP_LIMIT: Duration = Duration::from_secs(2);

/// Longer than its writer tries: it gives up after some seconds by itself.
const LEDGER_STOP_LIMIT: Duration = Duration::from_secs(10);

/// Longer than either exporter takes: they give up after five seconds by themselves.
const TELEMETRY_STOP_LIMIT: Duration = Duration::from_secs(10);
