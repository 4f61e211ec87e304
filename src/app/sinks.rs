//! The sinks that every fact ends in, and what stands in front of them: names, prices, and the
//! conversations of calls.
//!
//! The service's own traffic has one [`Correlator`], and so has each session that is handed over: a
//! correlator follows one language server at a time, and the end of one must not end the runs of
//! another.

use std::sync::Arc;

use tokio::sync::watch;

use super::request_rules::DryRuns;
use crate::cascade::correlate::Correlator;
use crate::pricing::{Priced, Prices};
use crate::record::{FanOut, Models, Named, Record, Sampling, Sink};
use crate::rules::Rules;

/// Everything that takes facts, with what facts are completed by on their way.
pub(super) struct Sinks {
    /// Ledger, metrics, live page and traces.
    pub(super) all: Vec<Arc<dyn Sink>>,
    /// How spans are sampled, where they are exported.
    pub(super) sampling: Option<Sampling>,
    /// The names under which models are counted.
    pub(super) models: Arc<Models>,
    pub(super) prices: Arc<Prices>,
    /// The rules that hold now, whose dry runs are tried on every call.
    pub(super) rules: watch::Receiver<Arc<Rules>>,
}

impl Sinks {
    /// A correlator in front of all sinks, and of one more.
    pub(super) fn correlator(&self, more: Option<Arc<dyn Sink>>) -> Arc<Correlator> {
        let sinks = self.all.iter().cloned().chain(more).collect();
        let correlator = Correlator::new(Arc::new(FanOut(sinks)));
        Arc::new(match self.sampling {
            Some(sampling) => correlator.tracing(sampling),
            None => correlator,
        })
    }

    /// Where traffic states its facts: calls get their names and prices, and then go to the
    /// correlator.
    pub(super) fn record_through(&self, correlator: &Arc<Correlator>) -> Arc<dyn Record> {
        let priced = Priced::new(Arc::clone(&self.prices), Arc::clone(correlator) as _);
        let dry_runs = DryRuns::new(self.rules.clone(), Arc::new(priced));
        Arc::new(Named::new(Arc::clone(&self.models), Arc::new(dry_runs)))
    }
}
