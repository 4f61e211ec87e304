//! Records facts in memory and in a file that outlives the process, and answers `/v1/usage`,
//! `/v1/cascades`, `/v1/sessions` and `/v1/quotas` from them.
//!
//! Sums are exact integers and begin with the file. The newest conversations and calls are also kept
//! in memory; the file keeps them for a configured time. Only figures and identifiers are kept,
//! nothing of prompts and answers. No fact waits for the disk: those that there is no room for are
//! counted.
//!
//! The parts have ranks, and a part uses only those of a lower rank; `tests/it/structure.rs` enforces
//! it. `memory` (0) has what is kept in memory, `file` (1) the file and its sums, `answers` (2) the
//! shapes of the answers.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use crate::record::{Call, Fact, Id, Model, Models, SessionId, Sink, Totals};

mod answers;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod lookup;
mod memory;
mod spent;

pub use answers::archive::{ArchiveError, query_file, session_file, sessions_file};
pub use answers::callers::{CallerGroup, CallerKind};
pub use answers::calls::CallDetails;
pub use answers::cascades::{
    Cascade, CascadeDetails, CascadePage, CascadesQuery, Cursor, InvalidCursor, State,
    SubagentUsage,
};
pub use answers::groups::{CascadeKind, ListedGroup, Of, SubagentKind};
pub use answers::page::{Page, UsageCursor};
pub use answers::query::UsageQuery;
pub use answers::report::{CascadeGroup, Group, SubagentGroup, UsageReport};
pub use answers::rules::RuleGroup;
pub use answers::sessions::{
    SessionCursor, SessionDetails, SessionPage, SessionState, SessionUsage, SessionsQuery,
};
pub use answers::usage::{QualityCounts, Usage};
pub use file::disk::Config;
pub use file::grouping::{By, InvalidZone, Period, Zone};
pub use file::source::Unavailable;
pub use file::spent::SpentBy;
pub use memory::call::{CallId, CallRecord, InvalidCallId};
pub use memory::conversation::Run;
pub use memory::models::QuotaReading;
pub use memory::store::Limits;

use answers::query;
use answers::report::{by_model, by_provider, by_thread};
use file::awaited::Inherited;
use file::begin::Begun;
use file::disk::Disk;
use file::query::Found;
use file::refill::Past;
use file::rows::kind_of;
use memory::sums::Served;
use memory::whole::InMemory;

/// The query could not be answered from the file. The log says why.
#[derive(Debug, thiserror::Error)]
#[error("the ledger cannot be read now: {0}")]
pub struct QueryError(#[from] rusqlite::Error);

/// What has been seen. The bound on models is that of [`Models`], shared with the metrics.
///
/// [`Fact::Correlated`] is expected after the [`Fact::Call`] that it is about; one about a call
/// that is not kept any more is counted as too late.
#[derive(Debug)]
pub struct Ledger {
    models: Arc<Models>,
    /// The file; `None` where there is not even memory for one.
    disk: Option<Disk>,
    /// Guards everything that is kept in memory: locked for one fact or one answer at a time.
    memory: Mutex<InMemory>,
}

impl Ledger {
    /// An empty ledger that begins at `now` and ends with its value.
    #[must_use]
    pub fn new(now: Timestamp, models: Arc<Models>) -> Self {
        Self::with_limits(now, models, Limits::default())
    }

    /// The same, which keeps as much as `limits` allow.
    #[must_use]
    pub fn with_limits(now: Timestamp, models: Arc<Models>, limits: Limits) -> Self {
        let config = Config {
            enabled: false,
            ..Config::default()
        };
        let (disk, _) = Disk::open(&config, Path::new(""), now, &models, Arc::new(NullSink));
        Self::begin(disk, now, &Totals::default(), models, limits)
    }

    /// Opens the file at `path` and goes on from what it holds, which is also handed back. Never
    /// fails: what goes wrong, now or later, is logged and reported to `sink`, and the ledger is then kept in
    /// memory; where another process has the file, until that has let it go. Blocks for as long as the
    /// disk takes.
    #[must_use]
    pub fn open(
        config: &Config,
        path: &Path,
        now: Timestamp,
        models: Arc<Models>,
        sink: Arc<dyn Sink>,
    ) -> (Self, Totals) {
        let (disk, Begun { at, totals }) = Disk::open(config, path, now, &models, sink);
        let ledger = Self::begin(disk, at, &totals, models, Limits::default());
        ledger.refill();
        (ledger, totals)
    }

    /// Takes the newest conversations of earlier processes back into memory.
    fn refill(&self) {
        let disk = self.disk.as_ref();
        let Some(disk) = disk.filter(|disk| disk.began_with_file()) else {
            return;
        };
        let limits = self.memory().store.limits();
        match disk.read(|connection| Past::read(connection, &limits, &self.models)) {
            Ok(past) => past.put_into(&mut self.memory().store),
            Err(failure) => {
                warn!(%failure, "the conversations of earlier processes are not listed, though they are counted")
            }
        }
    }

    fn begin(
        disk: Option<Disk>,
        begun: Timestamp,
        totals: &Totals,
        models: Arc<Models>,
        limits: Limits,
    ) -> Self {
        let mut memory = InMemory::new(begun, limits);
        memory.resume(totals, begun);
        Self {
            models,
            disk,
            memory: Mutex::new(memory),
        }
    }

    /// Answers a query; `now` is the time of the answer. Blocks while the file is read, unless the
    /// query is for everything by model or provider.
    ///
    /// # Errors
    /// [`QueryError`] when the file cannot be read.
    pub fn query(&self, query: &UsageQuery, now: Timestamp) -> Result<UsageReport, QueryError> {
        let (begun, is_resumed) = {
            let memory = self.memory();
            (memory.begun, memory.is_resumed)
        };
        let is_all = query.since.is_none_or(|since| since <= begun)
            && query.until.is_none_or(|until| until > now);
        let report = match query.by {
            By::Model | By::Provider if is_all => self.grouped(query.by, now),
            // Conversations of earlier processes are in the file alone.
            By::Cascade if is_all && !is_resumed => self.grouped(query.by, now),
            _ => self.found(query, now)?,
        };
        Ok(report.cut(query.by, &query.page))
    }

    /// The time from which it counts: that of the first process that kept the file.
    #[must_use]
    pub fn begun(&self) -> Timestamp {
        self.memory().begun
    }

    /// Everything, by model.
    #[must_use]
    pub fn report(&self) -> UsageReport {
        self.grouped(By::Model, Timestamp::now())
    }

    /// Why nothing goes into the file, where it is meant to.
    #[must_use]
    pub fn unavailable(&self) -> Option<Unavailable> {
        match &self.disk {
            Some(disk) => disk.unavailable(),
            None => Some(Unavailable {
                why: "there is no memory for it".to_owned(),
                is_awaited: false,
            }),
        }
    }

    /// Waits until everything that was seen before now is in the file, at most `limit`, and not at
    /// all while the file fails. Returns whether it is.
    pub fn settle(&self, limit: Duration) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.settle(limit))
    }

    /// Writes what is left, at most for `limit`, and closes the file. What is seen after that is
    /// lost, and counted. Answers from memory, and from the file, are still to be had.
    pub fn close(&self, limit: Duration) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.close(limit))
    }

    /// A page of the conversations that are kept, the newest activity first.
    #[must_use]
    pub fn cascades(&self, query: &CascadesQuery) -> CascadePage {
        let memory = self.memory();
        CascadePage::new(&memory.store, &memory.names, query)
    }

    /// Everything that is kept of a conversation; `None` where there is no such one.
    #[must_use]
    pub fn cascade(&self, id: &Id) -> Option<CascadeDetails> {
        let memory = self.memory();
        CascadeDetails::find(&memory.store, &memory.names, id)
    }

    /// A page of the sessions, the last to begin first. Blocks while the file is read.
    ///
    /// # Errors
    /// [`QueryError`] when the file cannot be read.
    pub fn sessions(&self, query: &SessionsQuery) -> Result<SessionPage, QueryError> {
        let ask = |connection: &_| query::sessions(connection, query, &self.models, true);
        let page = self.disk.as_ref().map(|disk| disk.read(ask)).transpose()?;
        Ok(page.unwrap_or_default())
    }

    /// Everything that is kept of a session; `None` where there is no such one. Blocks while the
    /// file is read.
    ///
    /// # Errors
    /// [`QueryError`] when the file cannot be read.
    pub fn session(&self, id: &SessionId) -> Result<Option<SessionDetails>, QueryError> {
        let Some(disk) = &self.disk else {
            return Ok(None);
        };
        let found = disk.read(|connection| query::session(connection, id, &self.models))?;
        Ok(found.map(|found| found.into_details(&self.memory().names, true)))
    }

    /// The last reading of every quota, by model.
    #[must_use]
    pub fn quotas(&self) -> Vec<QuotaReading> {
        let memory = self.memory();
        memory.quotas.readings(&memory.names)
    }

    fn grouped(&self, by: By, now: Timestamp) -> UsageReport {
        let memory = self.memory();
        let mut report = UsageReport::new(memory.begun, now, &memory.sums.total());
        match by {
            By::Cascade => {
                let groups = memory.store.groups();
                report.cascades = Some(by_thread(groups, &memory.names));
                report.correlated_too_late = Some(memory.store.too_late());
            }
            By::Provider => report.providers = Some(by_provider(&memory.sums)),
            _ => report.models = Some(by_model(&memory.sums, &memory.substitutions, &memory.names)),
        }
        report
    }

    /// Answers from the file.
    fn found(&self, query: &UsageQuery, now: Timestamp) -> Result<UsageReport, QueryError> {
        let begun = self.memory().begun;
        let nothing = || Ok((query::span(query, begun, now, i64::MIN), Found::default()));
        let ask = |connection: &_| query::answer(connection, query, begun, now, &self.models);
        let (span, found) = self
            .disk
            .as_ref()
            .map_or_else(nothing, |disk| disk.read(ask))?;
        let (since, until) = (span.since().unwrap_or(begun), span.until().unwrap_or(now));
        Ok(found.into_report(query, since, until, &self.memory().names))
    }

    /// Takes a fact. Some carry no time: `now` is asked for theirs, and not for each chunk that
    /// passes.
    fn take_at(&self, fact: &Fact, now: impl Fn() -> Timestamp) {
        if let Some((disk, kind)) = self
            .disk
            .as_ref()
            .zip(kind_of(fact))
            .filter(|_| self.is_news(fact))
        {
            disk.keep(fact, kind, now());
        }
        match fact {
            Fact::Call(call) => self.ended(call),
            Fact::Correlated(correlated) => self.memory().store.correlate(correlated),
            Fact::ModelNamed(name) if self.is_own(&name.model) => self.memory().names.set(name),
            Fact::Quota(quota) if self.is_own(&quota.model) => {
                self.memory().quotas.read(quota, now())
            }
            Fact::RunEnded(run) => self.memory().store.run_ended(run),
            Fact::RunStarted(run) => self.memory().store.run_started(run),
            Fact::StepEnded(step) => self.memory().store.step_ended(step, now()),
            _ => {}
        }
    }

    fn ended(&self, call: &Call) {
        let served = Served {
            model: self.models.name(call),
            provider: call.provider,
        };
        let substitution = self.models.substitution(call);
        let record = CallRecord {
            substituted_by: substitution.map(|one| one.served_model),
            ..CallRecord::from(call)
        };
        let mut memory = self.memory();
        if let Some(answered) = &record.substituted_by {
            memory.substitutions.add(&served, answered, 1);
        }
        memory.sums.add(&served, &record.sums());
        memory
            .store
            .place(record, served, call.correlation.cascade.as_ref());
    }

    /// Whether the fact is worth a row. Quotas are reported again and again, and limits of a rate
    /// are other ones with every call: they are full again before anybody looks at the file.
    fn is_news(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Quota(quota) => {
                !quota.window.is_rate()
                    && self.is_own(&quota.model)
                    && self.memory().quotas.is_news(quota)
            }
            _ => true,
        }
    }

    /// Whether the model has a name of its own.
    fn is_own(&self, model: &Model) -> bool {
        self.models.admit(model) == *model
    }

    /// What is in memory, with what has come with a file that was taken over.
    fn memory(&self) -> MutexGuard<'_, InMemory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let inherited = self.disk.as_ref().and_then(Disk::take_inherited);
        if let Some(Inherited { begun, past }) = inherited {
            memory.resume(&begun.totals, begun.at);
            if let Some(past) = past {
                past.put_into(&mut memory.store);
            }
        }
        memory
    }
}

impl Sink for Ledger {
    fn receive(&self, fact: &Fact) {
        self.take_at(fact, Timestamp::now);
    }
}

/// A sink that discards every fact.
struct NullSink;

impl Sink for NullSink {
    fn receive(&self, _: &Fact) {}
}

#[cfg(test)]
mod tests;
