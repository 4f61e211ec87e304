//! Writes a batch of facts as rows.
//!
//! A call is counted once, even if it is written twice: its roll-ups grow only when its row is new. No
//! prompt or answer can get here, because no fact holds one.

use std::collections::HashSet;
use std::sync::LazyLock;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::callers::caller;
use super::columns::TOKENS;
use super::queue::Entry;
use super::rollups::Rollups;
use super::sessions;
use super::share::{Share, kept, kept_cost, micros, text, trajectory};
use crate::ledger::memory::time::time;
use crate::record::{
    Call, CallStarted, CascadeRun, Correlated, CorrelationMethod, Fact, Label, LedgerRecord, Model,
    Models, Outcome, PerKind, Quality, Quota, TokenKind,
};

/// Writes rows within one transaction.
pub(in crate::ledger) struct Rows<'a> {
    connection: &'a Connection,
    /// The process whose calls these are.
    boot: i64,
    models: &'a Models,
    rollups: Rollups,
    /// Calls that begin and end in this batch: they need no row among the calls in progress.
    whole: HashSet<u64>,
}

impl<'a> Rows<'a> {
    /// For entries of that process.
    pub(in crate::ledger) fn new(
        connection: &'a Connection,
        boot: i64,
        models: &'a Models,
    ) -> Self {
        Self {
            connection,
            boot,
            models,
            rollups: Rollups::default(),
            whole: HashSet::new(),
        }
    }

    /// Writes a batch. Returns whether a sum of usage cannot take all of it.
    pub(in crate::ledger) fn write(mut self, batch: &[Entry]) -> rusqlite::Result<bool> {
        self.whole = whole(batch);
        batch.iter().try_for_each(|entry| self.entry(entry))?;
        self.rollups.write(self.connection)
    }

    fn entry(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        match &entry.fact {
            Fact::Call(call) => self.ended(call)?,
            Fact::CallStarted(started) => self.started(started)?,
            Fact::Correlated(correlated) => self.correlated(correlated)?,
            Fact::CorrelationSettled(method) => {
                self.rollups.count(CORRELATIONS, method.to_string(), 1);
            }
            Fact::Quota(quota) => self.quota(quota, entry.at.as_millisecond())?,
            Fact::RunEnded(run) => self.run(run)?,
            Fact::SessionEnded(ended) => sessions::end(self.connection, ended)?,
            Fact::SessionStarted(session) => {
                sessions::start(self.connection, self.boot, session)?;
            }
            Fact::StepEnded(ended) => {
                let step = format!("{}/{}", ended.step, ended.status);
                self.rollups.count(STEPS, step, 1);
            }
            Fact::UsageCompared(result) => self.rollups.count(COMPARISONS, result.to_string(), 1),
            _ => {}
        }
        Ok(())
    }

    /// Turns what an earlier process had begun and never ended into calls of their own. How they
    /// ended is not known, nor when: they count at the time of their beginning. Returns how many
    /// there were.
    pub(in crate::ledger) fn interrupted(mut self) -> rusqlite::Result<u64> {
        let mut count = 0;
        let mut lost = self.connection.prepare(
            "SELECT id, started_at, provider, host, operation, coalesce(model, 'unknown'), session, program, repository, branch \
             FROM started WHERE id >> 32 <> ?1",
        )?;
        let mut rows = lost.query([self.boot])?;
        while let Some(row) = rows.next()? {
            count += u64::from(self.interrupt(row)?);
        }
        self.connection
            .execute("DELETE FROM started WHERE id >> 32 <> ?1", [self.boot])?;
        self.rollups.write(self.connection)?;
        Ok(count)
    }

    fn interrupt(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let (id, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (provider, host, operation, model): (String, String, String, String) =
            (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        let label = self
            .models
            .label(&crate::record::Model::from_wire(&model))
            .to_string();
        let counted_as = (label != model).then_some(&label);
        let caller = caller(row, 6)?;
        let [session, program, repository, branch] = caller.names();
        let is_new = self.connection.execute(
            "INSERT OR IGNORE INTO calls (id, started_at, ended_at, provider, host, operation, model, counted_as, outcome, \
             streamed, quality, method, session, program, repository, branch) \
             VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                id,
                at,
                provider,
                host,
                operation,
                model,
                counted_as,
                Outcome::Interrupted.as_str(),
                Quality::Unknown.as_str(),
                CorrelationMethod::None.as_str(),
                session,
                program,
                repository,
                branch,
            ],
        )? == 1;
        if is_new {
            let share = Share {
                ended_at: at,
                provider,
                model: label,
                outcome: Outcome::Interrupted.as_str().to_owned(),
                quality: Quality::Unknown.as_str().to_owned(),
                ..Share::default()
            };
            self.rollups.add_usage(&share, &operation, "");
            self.rollups.add_cascade(&share, 1);
            self.rollups.add_caller(&share, &caller);
        }
        Ok(is_new)
    }

    fn started(&self, started: &CallStarted) -> rusqlite::Result<()> {
        if self.whole.contains(&started.number) {
            return Ok(());
        }
        let mut insert = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO started (id, started_at, provider, host, operation, model, session, program, repository, branch) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let [session, program, repository, branch] = started.caller.names();
        insert.execute(params![
            self.id(started.number),
            time(started.started_at).as_millisecond(),
            started.provider.as_str(),
            started.host.as_str(),
            started.operation.as_str(),
            started.model.as_ref().map(|model| model.as_str()),
            session,
            program,
            repository,
            branch,
        ])?;
        Ok(())
    }

    fn ended(&mut self, call: &Call) -> rusqlite::Result<()> {
        let id = self.id(call.number);
        if !self.whole.contains(&call.number) {
            self.connection
                .prepare_cached("DELETE FROM started WHERE id = ?1")?
                .execute([id])?;
        }
        let share = Share::of(call, self.models);
        let substitution = self.models.substitution(call);
        let served_model = substitution.as_ref().map(|one| one.served_model.as_str());
        if self.insert(id, call, &share, served_model)? {
            if let Some(served_model) = served_model {
                self.rollups.add_substitution(&share, served_model);
            }
            if let Some(cost) = call.reported_cost() {
                let label = format!("{}/{}", share.provider, share.model);
                self.rollups.count(REPORTED_COSTS, label, kept_cost(cost));
            }
            let reason = call
                .rate_limit
                .filter(|_| call.outcome == Outcome::RateLimited);
            let reason = reason.map_or("", |limit| limit.reason.as_str());
            self.rollups
                .add_usage(&share, call.operation.as_str(), reason);
            self.rollups.add_cascade(&share, 1);
            self.rollups.add_caller(&share, &call.caller);
            self.rollups.add_modalities(&share, call);
        }
        Ok(())
    }

    /// Returns whether the call is new. `substituted_by`: the model that has answered instead of the
    /// requested one, where another one has.
    fn insert(
        &self,
        id: i64,
        call: &Call,
        share: &Share,
        substituted_by: Option<&str>,
    ) -> rusqlite::Result<bool> {
        let mut insert = self.connection.prepare_cached(&INSERT_CALL)?;
        let ids = &call.ids;
        let model = call.model.as_str();
        let tokens = PerKind::from_fn(|kind| call.usage[kind].map(kept));
        let [session, program, repository, branch] = call.caller.names();
        let rules = call.rules.as_ref();
        let asked_model = rules.and_then(|rules| rules.asked_model.as_ref());
        let inserted = execute(
            &mut insert,
            params![
                id,
                time(call.timing.started_at).as_millisecond(),
                share.ended_at,
                micros(call.timing.duration),
                call.timing.time_to_first_chunk.map(micros),
                call.provider.as_str(),
                call.host.as_str(),
                call.operation.as_str(),
                model,
                (share.model != model).then_some(&share.model),
                call.served_model.as_ref().map(|model| model.as_str()),
                call.outcome.as_str(),
                call.rate_limit.map(|limit| limit.reason.as_str()),
                call.status,
                call.streamed,
                text(call.finish_reason.as_ref()),
                call.quality.as_str(),
                share.cost,
                text(call.correlation.cascade.as_ref()),
                call.correlation.method.as_str(),
                text(trajectory(call)),
                text(ids.execution.as_ref()),
                text(ids.step.as_ref()),
                text(ids.request.as_ref()),
                text(ids.response.as_ref()),
                text(ids.subagent.as_ref()),
                text(ids.parent_subagent.as_ref()),
                text(ids.subagent_kind.as_ref()),
                call.cost.map(|_| call.cost_source().as_str()),
                substituted_by,
                session,
                program,
                repository,
                branch,
                rules.map(|rules| rules.joined()),
                asked_model.map(Model::as_str),
            ],
            &tokens,
        )?;
        Ok(inserted == 1)
    }

    /// Moves a call to the conversation that it is known to belong to now. One that is not kept any
    /// more stays where it is.
    fn correlated(&mut self, correlated: &Correlated) -> rusqlite::Result<()> {
        let id = self.id(correlated.call);
        let mut find = self.connection.prepare_cached(&FIND_SHARE)?;
        let Some(mut share) = find.query_row([id], Share::from_row).optional()? else {
            return Ok(());
        };
        let cascade = text(correlated.correlation.cascade.as_ref());
        let mut update = self
            .connection
            .prepare_cached("UPDATE calls SET cascade = ?2, method = ?3 WHERE id = ?1")?;
        update.execute(params![id, cascade, correlated.correlation.method.as_str()])?;
        self.rollups.add_cascade(&share, -1);
        share.cascade = cascade.unwrap_or_default().to_owned();
        self.rollups.add_cascade(&share, 1);
        Ok(())
    }

    fn run(&self, run: &CascadeRun) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO runs (cascade, trajectory, model, outcome, started_at, duration_us, first_chunk_us, calls, tokens, \
             cost_nano_usd, agent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        insert.execute(params![
            run.cascade.as_str(),
            text(run.trajectory.as_ref()),
            run.model.as_str(),
            run.outcome.as_str(),
            time(run.started_at).as_millisecond(),
            micros(run.duration),
            run.time_to_first_chunk.map(micros),
            kept(run.calls),
            kept(run.tokens),
            run.cost.map(kept_cost),
            run.agent.as_str(),
        ])?;
        Ok(())
    }

    fn quota(&self, quota: &Quota, read_at: i64) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO quotas (read_at, provider, model, window, remaining, resets_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        insert.execute(params![
            read_at,
            quota.provider.as_str(),
            quota.model.as_str(),
            quota.window.as_str(),
            quota.remaining.clamp(0.0, 1.0),
            quota.resets_at.map(|at| time(at).as_millisecond()),
        ])?;
        Ok(())
    }

    /// Unique in the file: numbers begin anew with each process, and no process makes 2^32 calls.
    fn id(&self, number: u64) -> i64 {
        self.boot << 32 | i64::try_from(number & 0xffff_ffff).unwrap_or_default()
    }
}

/// Executes a statement whose last values are tokens.
fn execute(
    statement: &mut Statement<'_>,
    others: &[&dyn ToSql],
    tokens: &PerKind<Option<i64>>,
) -> rusqlite::Result<usize> {
    let tokens = tokens.iter().map(|(_, tokens)| tokens as &dyn ToSql);
    let values: Vec<&dyn ToSql> = others.iter().copied().chain(tokens).collect();
    statement.execute(&*values)
}

/// The calls of a batch that begin in it and end in it.
fn whole(batch: &[Entry]) -> HashSet<u64> {
    let ended = |entry: &Entry| {
        if let Fact::Call(call) = &entry.fact {
            Some(call.number)
        } else {
            None
        }
    };
    let begun = |entry: &Entry| {
        if let Fact::CallStarted(call) = &entry.fact {
            Some(call.number)
        } else {
            None
        }
    };
    let ended: HashSet<_> = batch.iter().filter_map(ended).collect();
    batch
        .iter()
        .filter_map(begun)
        .filter(|number| ended.contains(number))
        .collect()
}

/// Names of counts.
pub(super) const COMPARISONS: &str = "comparisons";
pub(super) const CORRELATIONS: &str = "correlations";
/// In nano-USD, by provider and model: the part of costs that providers report themselves.
pub(super) const REPORTED_COSTS: &str = "reported_costs";
pub(super) const STEPS: &str = "steps";

static FIND_SHARE: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {} FROM calls WHERE id = ?1", Share::columns()));

static INSERT_CALL: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=36 + TokenKind::ALL.len())
        .map(|place| format!("?{place}"))
        .collect();
    format!(
        "INSERT OR IGNORE INTO calls (id, started_at, ended_at, duration_us, first_chunk_us, provider, host, \
         operation, model, counted_as, served_model, outcome, rate_limit, status, streamed, finish_reason, quality, \
         cost_nano_usd, cascade, method, trajectory, execution, step, request, response, \
         subagent, parent_subagent, subagent_kind, cost_source, substituted_by, \
         session, program, repository, branch, rules, asked_model, {}) VALUES ({})",
        *TOKENS,
        places.join(", ")
    )
});

/// What becomes rows of the file.
pub(in crate::ledger) fn kind_of(fact: &Fact) -> Option<LedgerRecord> {
    Some(match fact {
        Fact::Call(_) => LedgerRecord::Call,
        Fact::CallStarted(_) => LedgerRecord::Started,
        Fact::Correlated(_) => LedgerRecord::Correlation,
        Fact::CorrelationSettled(_) | Fact::StepEnded(_) | Fact::UsageCompared(_) => {
            LedgerRecord::Count
        }
        Fact::Quota(_) => LedgerRecord::Quota,
        Fact::RunEnded(_) => LedgerRecord::Run,
        Fact::SessionEnded(_) | Fact::SessionStarted(_) => LedgerRecord::Session,
        _ => return None,
    })
}
