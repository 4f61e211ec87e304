//! Facts in, answers for `/v1/usage`, `/v1/cascades` and `/v1/quotas` out.
//!
//! Sums are exact integers and bounded in number; they begin with the process and end with it. Of conversations and calls
//! the newest are kept, as figures and identifiers: nothing that was said. No traffic is touched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::record::{Call, Fact, Id, Model, Models, Sink};

mod call;
mod cascades;
mod conversation;
mod models;
mod report;
mod store;
mod sums;
mod thread;

pub use call::CallRecord;
pub use cascades::{Cascade, CascadeDetails, CascadePage, CascadesQuery, Cursor, InvalidCursor, State};
pub use conversation::Run;
pub use models::QuotaReading;
pub use report::{CascadeGroup, Group, QualityCounts, Usage, UsageReport};
pub use store::Limits;

use models::{Names, Quotas};
use report::{by_model, by_provider};
use store::Store;
use sums::{ByModel, Served};

/// How the sums of a report are grouped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// One group for each conversation, and for what is not known to belong to one.
    Cascade,
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

/// What has been seen since the start. The bound on models is that of [`Models`], shared with the metrics.
///
/// [`Fact::Correlated`] is expected after the [`Fact::Call`] that it is about; one about a call that is not kept any more is
/// counted as too late.
#[derive(Debug)]
pub struct Ledger {
    started: Timestamp,
    models: Arc<Models>,
    /// Guards everything that is kept: locked for one fact or one answer at a time.
    kept: Mutex<Kept>,
}

/// Everything that answers are made of.
#[derive(Debug)]
struct Kept {
    /// Of all calls.
    sums: ByModel,
    store: Store,
    names: Names,
    quotas: Quotas,
}

impl Ledger {
    /// An empty ledger that begins at `started`.
    #[must_use]
    pub fn new(started: Timestamp, models: Arc<Models>) -> Self {
        Self::with_limits(started, models, Limits::default())
    }

    /// An empty ledger that keeps as much as it is told to.
    #[must_use]
    pub fn with_limits(started: Timestamp, models: Arc<Models>, limits: Limits) -> Self {
        let kept = Kept {
            sums: ByModel::default(),
            store: Store::new(limits),
            names: Names::default(),
            quotas: Quotas::default(),
        };
        Self { started, models, kept: Mutex::new(kept) }
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
        Ok(self.grouped(query.by, now))
    }

    /// The whole time since the start, by model.
    #[must_use]
    pub fn report(&self) -> UsageReport {
        self.grouped(By::Model, Timestamp::now())
    }

    /// A page of the conversations that are kept, the newest activity first.
    #[must_use]
    pub fn cascades(&self, query: &CascadesQuery) -> CascadePage {
        let kept = self.kept();
        CascadePage::new(&kept.store, &kept.names, query)
    }

    /// Everything that is kept of a conversation; `None` where there is no such one.
    #[must_use]
    pub fn cascade(&self, id: &Id) -> Option<CascadeDetails> {
        let kept = self.kept();
        CascadeDetails::find(&kept.store, &kept.names, id)
    }

    /// The last reading of every quota, by model.
    #[must_use]
    pub fn quotas(&self) -> Vec<QuotaReading> {
        let kept = self.kept();
        kept.quotas.readings(&kept.names)
    }

    fn grouped(&self, by: By, now: Timestamp) -> UsageReport {
        let kept = self.kept();
        let mut report = UsageReport::new(self.started, now, &kept.sums);
        match by {
            By::Cascade => {
                let groups = kept.store.groups();
                report.cascades = Some(groups.map(|(key, sums)| (key, CascadeGroup::new(sums, &kept.names))).collect());
                report.correlated_too_late = Some(kept.store.too_late());
            }
            By::Model => report.models = Some(by_model(&kept.sums, &kept.names)),
            By::Provider => report.providers = Some(by_provider(&kept.sums)),
        }
        report
    }

    /// Takes a fact. Some carry no time: `now` is asked for theirs, and not for each chunk that passes.
    fn take_at(&self, fact: &Fact, now: impl Fn() -> Timestamp) {
        match fact {
            Fact::Call(call) => self.ended(call),
            Fact::Correlated(correlated) => self.kept().store.correlate(correlated),
            Fact::ModelNamed(name) if self.is_own(&name.model) => self.kept().names.set(name),
            Fact::Quota(quota) if self.is_own(&quota.model) => self.kept().quotas.read(quota, now()),
            Fact::RunEnded(run) => self.kept().store.run_ended(run),
            Fact::RunStarted(run) => self.kept().store.run_started(run),
            Fact::StepEnded(step) => self.kept().store.step_ended(step, now()),
            _ => {}
        }
    }

    fn ended(&self, call: &Call) {
        let served = Served { model: self.models.admit(&call.model), provider: call.provider };
        let record = CallRecord::from(call);
        let mut kept = self.kept();
        kept.sums.add(&served, &record.sums());
        kept.store.place(record, served, call.correlation.cascade.as_ref());
    }

    /// Whether the model has a name of its own.
    fn is_own(&self, model: &Model) -> bool {
        self.models.admit(model) == *model
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Ledger {
    fn take(&self, fact: &Fact) {
        self.take_at(fact, Timestamp::now);
    }
}

/// A time as it is shown. One that no calendar has says nothing: it becomes the epoch.
fn time(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(at)
}

#[cfg(test)]
mod tests;
