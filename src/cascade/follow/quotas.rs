//! Polls what is left of the account's quotas, and the display names of models, while the agent
//! answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::ask::{Agent, Failure};
use super::failure_log::FailureLog;
use crate::cascade::correlate::Correlator;
use crate::cascade::read::ModelConfig;
use crate::dialect::quota::QuotaReport;
use crate::record::{Id, Model, ModelName, Provider, Quota, QuotaWindow, Record as _};

/// The quota poller of one agent.
pub(super) struct QuotaPoller {
    agent: Arc<Agent>,
    correlator: Arc<Correlator>,
    failure_log: Arc<FailureLog>,
    /// Models as named on the wire by the agent's own placeholder names.
    placeholders: BTreeMap<Id, Model>,
}

impl QuotaPoller {
    pub(super) fn new(
        agent: Arc<Agent>,
        correlator: Arc<Correlator>,
        failure_log: Arc<FailureLog>,
    ) -> Self {
        Self {
            agent,
            correlator,
            failure_log,
            placeholders: BTreeMap::new(),
        }
    }

    /// Polls when the agent begins to answer, and again after each interval, for as long as it is
    /// followed.
    pub(super) async fn run(mut self, interval: Duration, mut is_followed: Receiver<bool>) {
        while is_followed
            .wait_for(|is_followed| *is_followed)
            .await
            .is_ok()
        {
            self.ask().await;
            tokio::select! {
                () = sleep(interval) => {}
                _ = is_followed.wait_for(|is_followed| !is_followed) => {}
            }
        }
    }

    async fn ask(&mut self) {
        match self.agent.models().await {
            Ok(quota_document) => {
                let numbered =
                    |name: &ModelName| Some((name.placeholder.clone()?, name.model.clone()));
                self.placeholders
                    .extend(quota_document.names.iter().filter_map(numbered));
                self.emit(quota_document);
            }
            Err(failure) => self.report_unless_missing(failure),
        }
        match self.agent.quotas().await {
            Ok(quota_document) => self.emit(quota_document),
            Err(failure) if failure.is_missing() => self.ask_for_user_status().await,
            Err(failure) => self.failure_log.report(failure),
        }
    }

    async fn ask_for_user_status(&mut self) {
        match self.agent.user_status().await {
            Ok(models) => {
                let quotas = models
                    .into_iter()
                    .filter_map(|model| self.quota(model))
                    .collect();
                self.emit(QuotaReport {
                    names: Vec::new(),
                    quotas,
                });
            }
            Err(failure) => self.report_unless_missing(failure),
        }
    }

    /// A quota under the model's name on the wire, where that is known.
    fn quota(&self, of: ModelConfig) -> Option<Quota> {
        let named = || Model::from_wire(of.placeholder.as_str());
        Some(Quota {
            provider: Provider::CloudCode,
            model: self
                .placeholders
                .get(&of.placeholder)
                .cloned()
                .unwrap_or_else(named),
            window: QuotaWindow::Unspecified,
            remaining: of.remaining?,
            resets_at: of.resets_at,
        })
    }

    fn emit(&self, quota_document: QuotaReport) {
        quota_document
            .facts()
            .for_each(|fact| self.correlator.record(fact));
    }

    fn report_unless_missing(&self, failure: Failure) {
        if !failure.is_missing() {
            self.failure_log.report(failure);
        }
    }
}
