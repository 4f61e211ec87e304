//! The set of all metrics: counts every fact, answers every scrape.
//!
//! Metrics of budgets are in `budgets`, of calls in `calls`, of conversations in `cascades`, of quotas in `quotas`, of
//! connections and the process in `connections`, of repositories in `repositories`, of rules in `rules`, of the ledger in `ledger`, of spans in `otlp`, of
//! the exporter itself in `web`, under the names of the GenAI convention in `genai`; the rules of
//! naming and counting in `series`; the spans that buckets name in `exemplars` and `late`, the times
//! from which counters count in `start_times`; here is the registry they share, and what is made
//! of it: the data model of Prometheus, which is written in each format.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use prometheus_client::encoding::prometheus_protobuf;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use prost::Message as _;

use super::budgets::BudgetMetrics;
use super::calls::CallMetrics;
use super::cascades::CascadeMetrics;
use super::connections::ConnectionMetrics;
use super::exemplars::Exemplars;
use super::formats::Format;
use super::genai::GenAiMetrics;
use super::labels::Build;
use super::late::LateSpans;
use super::ledger::LedgerMetrics;
use super::models::ModelLabels;
use super::otlp::Counts;
use super::process::ProcessCollector;
use super::quotas::QuotaMetrics;
use super::repositories::RepositoryMetrics;
use super::rules::RuleMetrics;
use super::series::declare;
use super::start_times::StartTimes;
use super::text;
use super::web::{WebCounts, WebRefusal};
use crate::budget::Budgets;
use crate::record::{Fact, Models, Sink, Totals};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Whether the metrics of the OpenTelemetry GenAI convention are exported beside ours.
    pub genai: bool,
    /// Whether cache writes for five minutes and those for an hour are labelled apart.
    pub cache_write_lifetimes: bool,
    /// Whether OpenMetrics text has a `_created` sample for each counter and histogram.
    pub created_timestamps: bool,
    /// Whether calls are also counted by program and repository.
    pub repository: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            genai: true,
            cache_write_lifetimes: false,
            created_timestamps: false,
            repository: false,
        }
    }
}

/// All metrics of Gravimeter.
#[derive(Debug)]
pub struct Metrics {
    config: Config,
    registry: Registry,
    exemplars: Exemplars,
    start_times: StartTimes,
    budgets: BudgetMetrics,
    calls: CallMetrics,
    cascades: CascadeMetrics,
    connections: ConnectionMetrics,
    genai: Option<GenAiMetrics>,
    ledger: LedgerMetrics,
    late_spans: LateSpans,
    quotas: QuotaMetrics,
    repositories: Option<RepositoryMetrics>,
    rules: RuleMetrics,
    scrapes_rejected: Counter,
    points: Counts,
    spans: Counts,
    web: WebCounts,
}

impl Metrics {
    /// Declares the metrics; series of closed label sets exist from here on, at 0.
    #[must_use]
    pub fn new(config: Config, models: Arc<Models>) -> Self {
        let mut registry = Registry::default();
        let build = Info::new(Build {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("BUILT_FROM_REVISION").unwrap_or("unknown"),
            rustc: option_env!("BUILT_BY_RUSTC").unwrap_or("unknown"),
        });
        registry.register("gravimeter_build", "The running version", build);
        registry.register_collector(Box::new(ProcessCollector));
        let labels = ModelLabels::declare(&mut registry, Arc::clone(&models));
        let exemplars = Exemplars::new();
        let spans = exemplars.spans().clone();
        Self {
            config,
            budgets: BudgetMetrics::declare(&mut registry),
            calls: CallMetrics::declare(&mut registry, labels.clone(), config, &spans),
            cascades: CascadeMetrics::declare(&mut registry, labels.clone(), &spans),
            connections: ConnectionMetrics::declare(&mut registry),
            genai: config
                .genai
                .then(|| GenAiMetrics::declare(&mut registry, models)),
            ledger: LedgerMetrics::declare(&mut registry),
            late_spans: LateSpans::new(labels.clone(), spans),
            quotas: QuotaMetrics::declare(&mut registry, labels),
            repositories: config
                .repository
                .then(|| RepositoryMetrics::declare(&mut registry)),
            rules: RuleMetrics::declare(&mut registry),
            scrapes_rejected: declare(
                &mut registry,
                "gravimeter_scrapes_rejected_total",
                "Requests that were answered with 503 because too many were being served",
                Counter::default(),
            ),
            points: Counts::of_points(&mut registry),
            spans: Counts::of_spans(&mut registry),
            web: WebCounts::declare(&mut registry),
            exemplars,
            start_times: StartTimes::new(SystemTime::now()),
            registry,
        }
    }

    /// Resumes counters where earlier processes left them, which have counted since `begun`: before
    /// the first scrape, so that none is seen to jump. Histograms begin anew.
    pub fn resume(&self, totals: &Totals, begun: Timestamp) {
        self.calls.resume(totals);
        self.cascades.resume(totals);
        if let Some(genai) = &self.genai {
            genai.resume(totals);
        }
        if let Some(repositories) = &self.repositories {
            repositories.resume(totals);
        }
        let begun = SystemTime::try_from(begun).unwrap_or(UNIX_EPOCH);
        if let Ok(mut families) = prometheus_protobuf::encode(&self.registry) {
            self.start_times.resume(&mut families, begun);
        }
    }

    /// Shows how much of these budgets is spent. To be called once.
    pub fn show_budgets(&self, budgets: Arc<Budgets>) {
        self.budgets.show(budgets);
    }

    /// The counters of the span exporter.
    #[must_use]
    pub fn spans(&self) -> Counts {
        self.spans.clone()
    }

    /// The counters of the metrics pusher.
    pub(super) fn points(&self) -> Counts {
        self.points.clone()
    }

    /// The receiver of spans of what has been counted, for [`super::traces::Traces`].
    #[must_use]
    pub fn late_spans(&self) -> LateSpans {
        self.late_spans.clone()
    }

    /// What the library knows.
    #[cfg(test)]
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts a request that was refused because too many were being served.
    pub fn scrape_rejected(&self) {
        self.scrapes_rejected.inc();
    }

    /// Counts a request or connection to the exporter that was refused or cut off.
    pub fn web_refused(&self, reason: WebRefusal) {
        self.web.refused(reason);
    }

    /// Writes the current values.
    ///
    /// # Errors
    /// [`fmt::Error`] when a metric cannot be expressed in the data model; no metric declared here
    /// is of that sort.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, fmt::Error> {
        let families = self.read()?;
        match format {
            Format::Text => text::plain(&families).map(String::into_bytes),
            Format::OpenMetrics => text::open_metrics(&families, self.config.created_timestamps)
                .map(String::into_bytes),
            Format::Protobuf => delimited(&families),
        }
    }

    /// The current values, for the pusher. No metric declared here lacks such a form.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.read().unwrap_or_default()
    }

    /// The current values, with everything that the library does not know of them.
    fn read(&self) -> Result<Vec<MetricFamily>, fmt::Error> {
        let now = SystemTime::now();
        let mut families = prometheus_protobuf::encode(&self.registry)?;
        self.exemplars.put_on(&mut families)?;
        self.start_times.put_on(&mut families, now);
        Ok(families)
    }
}

/// Protobuf messages, each behind its length.
fn delimited(families: &[MetricFamily]) -> Result<Vec<u8>, fmt::Error> {
    let mut out = Vec::new();
    for family in families {
        let written = family.encode_length_delimited(&mut out);
        written.map_err(|_| fmt::Error)?;
    }
    Ok(out)
}

impl Sink for Metrics {
    fn receive(&self, fact: &Fact) {
        match fact {
            Fact::CallStarted(started) => self.calls.started(started),
            Fact::ContentChunks(chunks) => {
                self.calls.chunks(chunks);
                if let Some(genai) = &self.genai {
                    genai.chunks(chunks);
                }
            }
            Fact::Call(call) => {
                self.calls.ended(call);
                if let Some(genai) = &self.genai {
                    genai.ended(call);
                }
                if let Some(repositories) = &self.repositories {
                    repositories.ended(call);
                }
            }
            Fact::CallUnread(call) => self.calls.unread(call),
            Fact::CascadeUpdated(source) => self.cascades.updated(*source),
            Fact::CorrelationSettled(method) => self.cascades.settled(*method),
            Fact::FollowFailed(reason) => self.cascades.follow_failed(*reason),
            Fact::LedgerDropped(record) => self.ledger.dropped(*record),
            Fact::LedgerFailed(operation) => self.ledger.failed(*operation),
            Fact::ModelNamed(name) => self.quotas.named(name),
            Fact::NotificationEnded { target, result } => self.budgets.notified(*target, *result),
            Fact::Quota(quota) => self.quotas.read(quota),
            Fact::RunEnded(run) => {
                self.cascades.ended(run);
                if let Some(genai) = &self.genai {
                    genai.run_ended(run);
                }
            }
            Fact::RuleUsed(used) => self.rules.used(used),
            Fact::RulesRead { active, is_broken } => self.rules.read(*active, *is_broken),
            Fact::RunStarted(_) => self.cascades.started(),
            Fact::StepEnded(ended) => self.cascades.step(ended),
            Fact::TotalCompared { provider, total } => self.calls.total_compared(*provider, *total),
            Fact::UsageCompared(result) => self.cascades.compared(*result),
            other => self.connections.count_fact(other),
        }
    }
}
