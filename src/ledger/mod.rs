//! Calls in, answers for `/v1/usage` out.
//!
//! Sums are exact integers and bounded in number; they begin with the process and end with it.
//! No single call is kept, no traffic is touched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::record::{Call, Fact, Model, Models, Provider, Sink};

mod report;

pub use report::{Group, QualityCounts, Usage, UsageReport};

/// How the sums of a report are grouped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// One group for each model (and provider, where two serve the same model).
    #[default]
    Model,
    /// One group for each provider.
    Provider,
}

/// What a report is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// The grouping.
    pub by: By,
    /// The beginning of the time in question; `None` is everything kept.
    pub since: Option<Timestamp>,
    /// The end of the time in question; `None` is now.
    pub until: Option<Timestamp>,
}

/// The time in question cannot be answered from what is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Calls since the start are summed up; how many came before `since` is not known.
    #[error(
        "only the whole time since the start at {started} is kept: leave 'since' out or set it to that time or earlier"
    )]
    Since {
        /// When the sums begin.
        started: Timestamp,
    },
    /// How many calls came after `until` is not known.
    #[error("only the time up to now is kept: leave 'until' out or set it to now or later")]
    Until,
}

/// The sums since the start, by provider and model. The bound on models is that of [`Models`], shared with the metrics.
#[derive(Debug)]
pub struct Ledger {
    started: Timestamp,
    models: Arc<Models>,
    /// Guards the sums: locked for one addition or one copy at a time.
    sums: Mutex<BTreeMap<(Model, Provider), Usage>>,
}

impl Ledger {
    /// An empty ledger that begins at `started`.
    #[must_use]
    pub fn new(started: Timestamp, models: Arc<Models>) -> Self {
        Self { started, models, sums: Mutex::default() }
    }

    /// Answers a query; `now` is the time of the answer.
    ///
    /// # Errors
    /// [`NotKept`] when the query asks for a part of the time since the start.
    pub fn query(&self, query: &UsageQuery, now: Timestamp) -> Result<UsageReport, NotKept> {
        if query.since.is_some_and(|since| since > self.started) {
            return Err(NotKept::Since { started: self.started });
        }
        if query.until.is_some_and(|until| until < now) {
            return Err(NotKept::Until);
        }
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(UsageReport::new(self.started, now, query.by, sums))
    }

    /// The whole time since the start, by model.
    #[must_use]
    pub fn report(&self) -> UsageReport {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UsageReport::new(self.started, Timestamp::now(), By::Model, sums)
    }

    fn add(&self, call: &Call) {
        let key = (self.models.admit(&call.model), call.provider);
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().add(call);
    }
}

impl Sink for Ledger {
    fn take(&self, fact: &Fact) {
        if let Fact::Call(call) = fact {
            self.add(call);
        }
    }
}

#[cfg(test)]
mod tests;
