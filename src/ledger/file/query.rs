//! What is asked of the ledger's file: sums over any span of time, in any grouping.
//!
//! Everything is read in one transaction, so that the groups of an answer add up to its totals
//! while the file grows.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::callers::{FoundCaller, callers};
use super::columns::{FIGURE_COUNT, FIGURES, FIGURES_OF_A_CALL, TOTALS};
use super::grouping::{By, Period, Zone};
use super::rules::{FoundRules, rules};
use super::span::Span;
use super::subagents::{FoundSubagent, subagents};
use super::substitutions;
use crate::ledger::memory::figures::Figures;
use crate::ledger::memory::substitutions::Substitutions;
use crate::ledger::memory::sums::{ByModel, Served, Sums};
use crate::ledger::memory::thread::Thread;
use crate::record::{Id, Label, Model, Models, Operation};

/// The sums of a span, and of its groups.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Found {
    pub(in crate::ledger) sums: ByModel,
    pub(in crate::ledger) operations: BTreeMap<Operation, Sums>,
    pub(in crate::ledger) periods: BTreeMap<Period, Sums>,
    pub(in crate::ledger) threads: Vec<FoundThread>,
    pub(in crate::ledger) subagents: Vec<FoundSubagent>,
    pub(in crate::ledger) callers: Vec<FoundCaller>,
    pub(in crate::ledger) rules: Vec<FoundRules>,
    /// Of conversations or callers that are not kept apart or not known, or of calls that no
    /// subagent is known to have made, or no rule to have changed.
    pub(in crate::ledger) other: ByModel,
    /// With groups by model.
    pub(in crate::ledger) substitutions: Substitutions,
}

/// The sums of what belongs together.
#[derive(Debug)]
pub(in crate::ledger) struct FoundThread {
    pub(in crate::ledger) thread: Thread,
    pub(in crate::ledger) sums: ByModel,
    /// When its first call ended, and its last one, in milliseconds: the slot's beginning where
    /// that is all that is known.
    pub(in crate::ledger) first: i64,
    pub(in crate::ledger) last: i64,
}

/// From which time on every call has its row.
pub(in crate::ledger) fn rows_since(connection: &Connection) -> rusqlite::Result<i64> {
    let since = connection
        .query_row("SELECT since FROM kept WHERE what = 'calls'", [], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(since.unwrap_or(i64::MIN))
}

/// Sums up a span.
pub(in crate::ledger) fn find(
    connection: &Connection,
    span: &Span,
    by: By,
    zone: &Zone,
    models: &Models,
) -> rusqlite::Result<Found> {
    let mut found = Found::default();
    match by {
        By::Model => {
            found.sums = by_model(connection, span, models)?;
            found.substitutions = substitutions::find(connection, span, models)?;
        }
        By::Provider => found.sums = by_model(connection, span, models)?,
        By::Operation => {
            each_key(connection, span, OPERATION, |row| {
                let operation = label(row, 0)?;
                let sums = sums(row, 1)?;
                if let Some((operation, sums)) = operation.zip(sums) {
                    found.operations.entry(operation).or_default().add(&sums);
                }
                Ok(())
            })?;
        }
        By::Branch | By::Program | By::Repository | By::Session => {
            found.sums = by_model(connection, span, models)?;
            found.callers = callers(connection, span, by, models)?;
            found.other = found.sums.clone();
            for (served, sums) in found.callers.iter().flat_map(|found| found.sums.iter()) {
                found.other.take_away(served, sums);
            }
        }
        By::Day | By::Hour | By::Month | By::Week => {
            let mut period = None;
            each_key(connection, span, SLOT, |row| {
                let at = Timestamp::from_millisecond(row.get(0)?).unwrap_or_default();
                let Some(sums) = sums(row, 1)? else {
                    return Ok(());
                };
                if period.as_ref().is_none_or(|(known, _)| *known != at) {
                    period = Some((at, Period::of(at, by, &zone.0)));
                }
                if let Some((_, period)) = &period {
                    match found.periods.get_mut(period) {
                        Some(known) => known.add(&sums),
                        None => _ = found.periods.insert(period.clone(), sums),
                    }
                }
                Ok(())
            })?;
        }
        By::Cascade => {
            found.sums = by_model(connection, span, models)?;
            found.threads = threads(connection, span, models)?;
            found.other = found.sums.clone();
            for (served, sums) in found.threads.iter().flat_map(|thread| thread.sums.iter()) {
                found.other.take_away(served, sums);
            }
        }
        By::Rule => {
            found.sums = by_model(connection, span, models)?;
            found.rules = rules(connection, span, models)?;
            found.other = found.sums.clone();
            for (served, sums) in found.rules.iter().flat_map(|found| found.sums.iter()) {
                found.other.take_away(served, sums);
            }
        }
        By::Subagent => {
            found.sums = by_model(connection, span, models)?;
            found.subagents = subagents(connection, span, models)?;
            found.other = found.sums.clone();
            for (served, sums) in found.subagents.iter().flat_map(|found| found.sums.iter()) {
                found.other.take_away(served, sums);
            }
        }
    }
    Ok(found)
}

fn by_model(connection: &Connection, span: &Span, models: &Models) -> rusqlite::Result<ByModel> {
    let mut by_model = ByModel::default();
    each_key(connection, span, SERVED, |row| {
        if let Some((served, sums)) = served(row, 0, models)?.zip(sums(row, 2)?) {
            by_model.add(&served, &sums);
        }
        Ok(())
    })?;
    Ok(by_model)
}

/// The conversations that were active last.
pub(in crate::ledger) fn threads(
    connection: &Connection,
    span: &Span,
    models: &Models,
) -> rusqlite::Result<Vec<FoundThread>> {
    let mut threads = Vec::<FoundThread>::new();
    let newest = newest_threads(connection, span)?;
    let (figures, of_a_call, totals) = (&*FIGURES, &*FIGURES_OF_A_CALL, &*TOTALS);
    let sql = format!(
        "WITH newest AS (SELECT value ->> 0, value ->> 1 FROM json_each(?7)) \
         SELECT cascade, trajectory, provider, model, outcome, quality, {totals}, min(slot), max(slot) FROM \
         (SELECT slot, cascade, trajectory, provider, model, outcome, quality, {figures} FROM cascade_slots \
         WHERE slot >= ?1 AND slot < ?2 AND (cascade, trajectory) IN newest \
         UNION ALL SELECT ended_at, {THREAD}, provider, coalesce(counted_as, model), outcome, quality, \
         {of_a_call} \
         FROM calls WHERE ({ENDS}) AND ({THREAD}) IN newest) \
         GROUP BY 1, 2, 3, 4, outcome, quality ORDER BY 1, 2"
    );
    let mut select = connection.prepare(&sql)?;
    let bounds = bounds(span).map(Value::from);
    let mut rows = select.query(params_from_iter(bounds.into_iter().chain([newest.into()])))?;
    while let Some(row) = rows.next()? {
        let Some((served, sums)) = served(row, 2, models)?.zip(sums(row, 4)?) else {
            continue;
        };
        let (cascade, trajectory): (String, String) = (row.get(0)?, row.get(1)?);
        let thread = Thread::new(
            Id::from_wire(&cascade).as_ref(),
            Id::from_wire(&trajectory).as_ref(),
        );
        let (first, last) = (row.get(6 + FIGURE_COUNT)?, row.get(7 + FIGURE_COUNT)?);
        if threads.last().is_none_or(|known| known.thread != thread) {
            threads.push(FoundThread {
                thread,
                sums: ByModel::default(),
                first,
                last,
            });
        }
        if let Some(known) = threads.last_mut() {
            known.sums.add(&served, &sums);
            (known.first, known.last) = (known.first.min(first), known.last.max(last));
        }
    }
    Ok(threads)
}

/// The conversations that were active last: a JSON array of pairs of cascade and trajectory. Goes
/// back from the newest part until there are enough, as grouping all of them by their last activity
/// would take most of the time of an answer.
fn newest_threads(connection: &Connection, span: &Span) -> rusqlite::Result<String> {
    let sql = format!(
        "SELECT slot, cascade, trajectory FROM cascade_slots WHERE slot >= ?1 AND slot < ?2 \
         UNION ALL SELECT ended_at, {THREAD} FROM calls WHERE {ENDS} ORDER BY 1 DESC"
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(bounds(span))?;
    let mut newest = HashSet::<(String, String)>::new();
    while newest.len() < MAX_THREADS
        && let Some(row) = rows.next()?
    {
        newest.insert((row.get(1)?, row.get(2)?));
    }
    Ok(serde_json::json!(newest).to_string())
}

/// Goes through the sums of a span by a key, outcome and quality.
fn each_key(
    connection: &Connection,
    span: &Span,
    key: &str,
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let (figures, of_a_call, totals) = (&*FIGURES, &*FIGURES_OF_A_CALL, &*TOTALS);
    let sql = format!(
        "SELECT {key}, outcome, quality, {totals} FROM (SELECT slot, provider, model, operation, outcome, quality, {figures} FROM usage_slots \
         WHERE slot >= ?1 AND slot < ?2 UNION ALL \
         SELECT ended_at - ((ended_at % 900000) + 900000) % 900000, provider, coalesce(counted_as, model), operation, \
         outcome, quality, {of_a_call} \
         FROM calls WHERE {ENDS}) GROUP BY {key}, outcome, quality ORDER BY {key}"
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(bounds(span))?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

pub(super) fn bounds(span: &Span) -> [i64; 6] {
    let Span { slots, head, tail } = span;
    [slots.0, slots.1, head.0, head.1, tail.0, tail.1]
}

pub(super) fn served(
    row: &Row<'_>,
    column: usize,
    models: &Models,
) -> rusqlite::Result<Option<Served>> {
    let model = models.label(&Model::from_wire(row.get_ref(column + 1)?.as_str()?));
    Ok(label(row, column)?.map(|provider| Served { model, provider }))
}

fn label<L: Label>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<L>> {
    Ok(L::parse(row.get_ref(column)?.as_str()?))
}

/// Outcome, quality, calls and tokens from this column on; `None` for a label that a later version
/// has written.
pub(super) fn sums(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Sums>> {
    let Some((outcome, quality)) = label(row, column)?.zip(label(row, column + 1)?) else {
        return Ok(None);
    };
    Ok(Some(Sums::of_file(
        &Figures::read(row, column + 2)?,
        quality,
        outcome,
    )))
}

const OPERATION: &str = "operation";
const SERVED: &str = "provider, model";
const SLOT: &str = "slot";

/// What a call belongs to.
pub(super) const THREAD: &str =
    "coalesce(cascade, ''), CASE WHEN cascade IS NULL THEN coalesce(trajectory, '') ELSE '' END";
/// The ends of a span that are no whole slots.
pub(super) const ENDS: &str =
    "(ended_at >= ?3 AND ended_at < ?4) OR (ended_at >= ?5 AND ended_at < ?6)";

/// As many conversations as are kept in memory; all others are one group.
const MAX_THREADS: usize = 1000;
