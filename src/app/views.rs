//! The views of the record: metrics, ledger (from which the metrics resume) and readiness, behind
//! the names, the prices, the correlator and the one fan-out that every fact goes through.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cascade::correlate::Correlator;
use crate::config::Config;
use crate::export::Metrics;
use crate::export::diagnostics::Diagnostics;
use crate::export::otlp::{Exporter, Pusher, Resource};
use crate::export::traces::Traces;
use crate::ledger::Ledger;
use crate::record::{Models, Record, Sink};
use crate::rules::Rules;
use crate::web::access::Access;
use crate::web::{Condition, Live, Readiness, Web};

use super::budgets;
use super::request_rules::RuleLog;
use super::sinks::Sinks;
use super::unread::UnreadLog;
use crate::budget::Budgets;

/// Everything that facts end in.
pub(super) struct Views {
    /// Where the rooms state their facts.
    pub(super) record: Arc<dyn Record>,
    /// The same, for who follows the agent.
    pub(super) correlator: Arc<Correlator>,
    /// Where all facts end.
    pub(super) sinks: Arc<Sinks>,
    /// What takes spans to the collector, where there is one.
    pub(super) spans: Option<Exporter>,
    /// What pushes metrics to the collector, where anything does.
    pub(super) pusher: Option<Pusher>,
    /// The rules that change requests.
    pub(super) rules: watch::Sender<Arc<Rules>>,
    /// How much of each budget is spent; `None` where there are none.
    pub(super) budgets: Option<Arc<Budgets>>,
    /// What answers `/v1/usage`.
    pub(super) ledger: Arc<Ledger>,
    /// What must hold before the path is open.
    pub(super) readiness: Arc<Readiness>,
    /// What answers requests.
    pub(super) web: Arc<Web>,
}

impl Views {
    pub(super) fn new(
        config: &Config,
        access: Option<Arc<Access>>,
        diagnostics: Option<Diagnostics>,
        more: Vec<Arc<dyn Sink>>,
        conditions: impl IntoIterator<Item = Condition>,
    ) -> Self {
        let models = Arc::new(Models::new(config.max_models));
        let metrics = Arc::new(Metrics::new(config.metrics, Arc::clone(&models)));
        let live = Arc::new(Live::new(Arc::clone(&models)));
        let told = Arc::clone(&metrics) as Arc<dyn Sink>;
        let (ledger, totals) = Ledger::open(
            &config.ledger,
            &config.ledger_path(),
            Timestamp::now(),
            Arc::clone(&models),
            told,
        );
        metrics.resume(&totals, ledger.begun());
        let ledger = Arc::new(ledger);
        let readiness = Readiness::new(conditions);
        // The ledger is first: what a scrape shows is then on its way to the file already.
        let mut sinks: Vec<Arc<dyn Sink>> = vec![
            Arc::clone(&ledger) as _,
            Arc::clone(&metrics) as _,
            Arc::clone(&live) as _,
            Arc::<UnreadLog>::default(),
            Arc::<RuleLog>::default(),
        ];
        let budgets = budgets::open(config, &models, &ledger);
        if let Some(budgets) = &budgets {
            metrics.show_budgets(Arc::clone(budgets));
            sinks.push(Arc::clone(budgets) as _);
        }
        sinks.extend(more);
        let resource = Resource::new(&config.otlp);
        let spans = Traces::new(&config.otlp, resource.clone(), metrics.spans()).map(
            |(traces, exporter)| {
                if let Some(diagnostics) = diagnostics {
                    diagnostics.connect(&traces);
                }
                sinks.push(Arc::new(traces.with_late_spans(metrics.late_spans())));
                exporter
            },
        );
        let pusher = Pusher::new(&config.otlp, resource, Arc::clone(&metrics));
        let web = Web::new(
            config.web.clone(),
            access,
            metrics,
            Arc::clone(&ledger),
            Arc::clone(&readiness),
            live,
        );
        if let Some(budgets) = &budgets {
            web.show_budgets(Arc::clone(budgets));
        }
        let (rules, rules_now) = watch::channel(Arc::clone(&config.rules));
        let sinks = Arc::new(Sinks {
            all: sinks,
            rules: rules_now,
            sampling: spans.is_some().then_some(config.otlp.sampling),
            models,
            prices: Arc::clone(&config.prices),
        });
        let correlator = sinks.correlator(None);
        Self {
            record: sinks.record_through(&correlator),
            correlator,
            sinks,
            spans,
            pusher,
            rules,
            budgets,
            ledger,
            readiness,
            web,
        }
    }
}
