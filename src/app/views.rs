//! The views of the record: metrics, ledger (from which the metrics resume) and readiness, behind the correlator and the one fan-out that every fact goes
//! through.

use std::sync::Arc;

use jiff::Timestamp;

use crate::cascade::correlate::Correlator;
use crate::config::Config;
use crate::export::Metrics;
use crate::export::otlp::Exporter;
use crate::export::traces::Traces;
use crate::ledger::Ledger;
use crate::record::{FanOut, Models, Record, Sink};
use crate::web::{Condition, Readiness, Web};

/// Everything that facts end in.
pub(super) struct Views {
    /// Where the rooms state their facts.
    pub(super) record: Arc<dyn Record>,
    /// The same, for who follows the agent.
    pub(super) correlator: Arc<Correlator>,
    /// What takes spans to the collector, where there is one.
    pub(super) spans: Option<Exporter>,
    /// What answers `/v1/usage`.
    pub(super) ledger: Arc<Ledger>,
    /// What must hold before the path is open.
    pub(super) readiness: Arc<Readiness>,
    /// What answers requests.
    pub(super) web: Arc<Web>,
}

impl Views {
    pub(super) fn new(config: &Config, conditions: impl IntoIterator<Item = Condition>) -> Self {
        let models = Arc::new(Models::new(config.max_models));
        let metrics = Arc::new(Metrics::new(config.metrics, Arc::clone(&models)));
        let told = Arc::clone(&metrics) as Arc<dyn Sink>;
        let (ledger, totals) = Ledger::open(&config.ledger, &config.ledger_path(), Timestamp::now(), models, told);
        metrics.resume(&totals);
        let ledger = Arc::new(ledger);
        let readiness = Readiness::new(conditions);
        // The ledger is first: what a scrape shows is then on its way to the file already.
        let mut sinks: Vec<Arc<dyn Sink>> = vec![Arc::clone(&ledger) as _, Arc::clone(&metrics) as _];
        let spans = Traces::new(&config.otlp, metrics.spans()).map(|(traces, exporter)| {
            sinks.push(Arc::new(traces));
            exporter
        });
        let web = Web::new(config.web.clone(), metrics, Arc::clone(&ledger), Arc::clone(&readiness));
        let correlator = Correlator::new(Arc::new(FanOut(sinks)));
        let correlator = Arc::new(match spans {
            Some(_) => correlator.tracing(config.otlp.sampling),
            None => correlator,
        });
        Self { record: Arc::clone(&correlator) as _, correlator, spans, ledger, readiness, web }
    }
}
