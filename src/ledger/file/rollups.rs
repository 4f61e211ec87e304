//! What a batch adds to the roll-ups and counts: each of their rows is changed once, however many
//! entries fall into it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use super::columns::{ADDING_UP, FIGURE_COUNT, FIGURES};
use super::modalities::AddedModalities;
use super::saturate::plus;
use super::share::Share;
use crate::ledger::memory::figures::LARGEST;
use crate::record::{Call, Caller, Label as _, PerKind};

/// Collects additions in the order of the tables' keys.
#[derive(Debug, Default)]
pub(super) struct Rollups {
    usage: BTreeMap<UsageKey, Added>,
    cascades: BTreeMap<CascadeKey, Added>,
    callers: BTreeMap<CallerKey, Added>,
    substitutions: BTreeMap<SubstitutionKey, i64>,
    modalities: AddedModalities,
    counts: BTreeMap<(&'static str, String), i64>,
}

/// A row of `substitution_slots`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SubstitutionKey {
    slot: i64,
    provider: String,
    model: String,
    served_model: String,
}

/// A row of `usage_slots`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UsageKey {
    slot: i64,
    provider: String,
    model: String,
    operation: String,
    outcome: String,
    rate_limit: &'static str,
    quality: String,
}

/// A row of `cascade_slots`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CascadeKey {
    slot: i64,
    cascade: String,
    trajectory: String,
    provider: String,
    model: String,
    outcome: String,
    quality: String,
}

/// A row of `caller_slots`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CallerKey {
    slot: i64,
    program: String,
    repository: String,
    branch: String,
    provider: String,
    model: String,
    outcome: String,
    quality: String,
}

/// Calls added up; some may have been taken away.
#[derive(Debug, Default, PartialEq, Eq)]
struct Added {
    calls: i64,
    tokens: PerKind<i64>,
    priced_calls: i64,
    unpriced_calls: i64,
    cost: i64,
}

impl Rollups {
    pub(super) fn add_usage(&mut self, share: &Share, operation: &str, rate_limit: &'static str) {
        let key = UsageKey {
            slot: share.slot(),
            provider: share.provider.clone(),
            model: share.model.clone(),
            operation: operation.to_owned(),
            outcome: share.outcome.clone(),
            rate_limit,
            quality: share.quality.clone(),
        };
        self.usage.entry(key).or_default().add(share, 1);
    }

    /// Adds a call to the roll-up of its conversation, or takes it away (`sign` -1).
    pub(super) fn add_cascade(&mut self, share: &Share, sign: i64) {
        let trajectory = if share.cascade.is_empty() {
            share.trajectory.clone()
        } else {
            String::new()
        };
        let key = CascadeKey {
            slot: share.slot(),
            cascade: share.cascade.clone(),
            trajectory,
            provider: share.provider.clone(),
            model: share.model.clone(),
            outcome: share.outcome.clone(),
            quality: share.quality.clone(),
        };
        self.cascades.entry(key).or_default().add(share, sign);
    }

    /// Adds a call to the roll-up of who makes it, where anything of that is known but its session,
    /// which has none.
    pub(super) fn add_caller(&mut self, share: &Share, caller: &Caller) {
        let [_, program, repository, branch] = caller
            .names()
            .map(|name| name.unwrap_or_default().to_owned());
        if program.is_empty() && repository.is_empty() {
            return;
        }
        let key = CallerKey {
            slot: share.slot(),
            program,
            repository,
            branch,
            provider: share.provider.clone(),
            model: share.model.clone(),
            outcome: share.outcome.clone(),
            quality: share.quality.clone(),
        };
        self.callers.entry(key).or_default().add(share, 1);
    }

    /// Counts a call that another model has answered.
    pub(super) fn add_substitution(&mut self, share: &Share, served_model: &str) {
        let key = SubstitutionKey {
            slot: share.slot(),
            provider: share.provider.clone(),
            model: share.model.clone(),
            served_model: served_model.to_owned(),
        };
        *self.substitutions.entry(key).or_default() += 1;
    }

    /// Adds what the tokens of a call stand for.
    pub(super) fn add_modalities(&mut self, share: &Share, call: &Call) {
        self.modalities.add(
            &share.provider,
            &share.model,
            call.operation.as_str(),
            &call.modalities,
        );
    }

    /// Adds to a count.
    pub(in crate::ledger) fn count(&mut self, name: &'static str, label: String, more: i64) {
        let sum = self.counts.entry((name, label)).or_default();
        *sum = sum.saturating_add(more);
    }

    /// Writes all of it. Returns whether a sum of usage stands at [`LARGEST`] now: not all that was
    /// added is in it.
    pub(in crate::ledger) fn write(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut largest = 0;
        for (key, added) in &self.usage {
            largest = largest.max(key.write(added, connection)?);
        }
        for (key, added) in self
            .cascades
            .iter()
            .filter(|(_, added)| **added != Added::default())
        {
            key.write(added, connection)?;
        }
        for (key, added) in &self.callers {
            key.write(added, connection)?;
        }
        for (key, calls) in &self.substitutions {
            let mut add = connection.prepare_cached(&ADD_SUBSTITUTION)?;
            add.execute(params![
                key.slot,
                key.provider,
                key.model,
                key.served_model,
                calls
            ])?;
        }
        self.modalities.write(connection)?;
        for ((name, label), count) in &self.counts {
            let mut add = connection.prepare_cached(&ADD_COUNT)?;
            add.execute(params![name, label, count])?;
        }
        Ok(largest == LARGEST)
    }
}

impl Added {
    fn add(&mut self, share: &Share, sign: i64) {
        let add = |sum: &mut i64, more: i64| *sum = sum.saturating_add(more.saturating_mul(sign));
        add(&mut self.calls, 1);
        self.tokens.merge(&share.tokens, add);
        add(&mut self.priced_calls, share.cost.is_some().into());
        add(&mut self.unpriced_calls, share.is_unpriced().into());
        add(&mut self.cost, share.cost.unwrap_or(0));
    }

    /// The values of a row with this key, in the order of its columns.
    fn row<'a>(&'a self, key: &[&'a dyn ToSql]) -> Vec<&'a dyn ToSql> {
        let tokens = self.tokens.iter().map(|(_, tokens)| tokens as &dyn ToSql);
        let costs: [&dyn ToSql; 3] = [&self.priced_calls, &self.unpriced_calls, &self.cost];
        let calls: [&dyn ToSql; 1] = [&self.calls];
        key.iter()
            .copied()
            .chain(calls)
            .chain(tokens)
            .chain(costs)
            .collect()
    }
}

impl UsageKey {
    /// Returns the largest sum of the row.
    fn write(&self, added: &Added, connection: &Connection) -> rusqlite::Result<i64> {
        let mut add = connection.prepare_cached(&ADD_USAGE)?;
        let Self {
            slot,
            provider,
            model,
            operation,
            outcome,
            rate_limit,
            quality,
        } = self;
        let key: [&dyn ToSql; 7] = [
            slot, provider, model, operation, outcome, rate_limit, quality,
        ];
        add.query_row(&*added.row(&key), |row| row.get(0))
    }
}

impl CascadeKey {
    fn write(&self, added: &Added, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(&ADD_CASCADE)?;
        let Self {
            slot,
            cascade,
            trajectory,
            provider,
            model,
            outcome,
            quality,
        } = self;
        let key: [&dyn ToSql; 7] = [slot, cascade, trajectory, provider, model, outcome, quality];
        add.query_row(&*added.row(&key), |_| Ok(()))?;
        if added.calls < 0 {
            let mut clear = connection.prepare_cached(
                "DELETE FROM cascade_slots WHERE slot = ?1 AND cascade = ?2 AND trajectory = ?3 AND provider = ?4 AND \
                 model = ?5 AND outcome = ?6 AND quality = ?7 AND calls <= 0",
            )?;
            clear.execute(key)?;
        }
        Ok(())
    }
}

impl CallerKey {
    fn write(&self, added: &Added, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(&ADD_CALLER)?;
        let Self {
            slot,
            program,
            repository,
            branch,
            provider,
            model,
            outcome,
            quality,
        } = self;
        let key: [&dyn ToSql; 8] = [
            slot, program, repository, branch, provider, model, outcome, quality,
        ];
        add.query_row(&*added.row(&key), |_| Ok(()))
    }
}

static ADD_USAGE: LazyLock<String> = LazyLock::new(|| {
    adding(
        "usage_slots",
        "slot, provider, model, operation, outcome, rate_limit, quality",
    )
});

static ADD_CASCADE: LazyLock<String> = LazyLock::new(|| {
    adding(
        "cascade_slots",
        "slot, cascade, trajectory, provider, model, outcome, quality",
    )
});

static ADD_CALLER: LazyLock<String> = LazyLock::new(|| {
    adding(
        "caller_slots",
        "slot, program, repository, branch, provider, model, outcome, quality",
    )
});

/// Adds a row with a key of these columns, or adds to the one that is there.
fn adding(table: &str, key: &str) -> String {
    let columns = key.split(',').count();
    let places: Vec<String> = (1..=columns + FIGURE_COUNT)
        .map(|place| format!("?{place}"))
        .collect();
    let (places, figures, adding_up) = (places.join(", "), &*FIGURES, &*ADDING_UP);
    format!("INSERT INTO {table} ({key}, {figures}) VALUES ({places}){adding_up}")
}

static ADD_COUNT: LazyLock<String> = LazyLock::new(|| {
    let adding_up = plus("count");
    format!(
        "INSERT INTO counts (name, label, count) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET {adding_up}"
    )
});

static ADD_SUBSTITUTION: LazyLock<String> = LazyLock::new(|| {
    let adding_up = plus("calls");
    format!(
        "INSERT INTO substitution_slots (slot, provider, model, served_model, calls) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET {adding_up}"
    )
});
