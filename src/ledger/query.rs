//! What is asked of the ledger's file: sums over any span of time, in any grouping.
//!
//! Everything is read in one transaction, so that the groups of an answer add up to its totals
//! while the file grows.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::columns::{FIGURE_COUNT, FIGURES, FIGURES_OF_A_CALL, Figures, TOTALS};
use super::page::Page;
use super::span::Span;
use super::sums::{ByModel, Served, Sums};
use super::thread::Thread;
use crate::record::{Id, Label, Model, Models, Operation, label};

label! {
    /// How the sums of a report are grouped.
    #[derive(Default)]
    pub enum By {
        /// One group for each conversation, and for what is not known to belong to one.
        Cascade => "cascade",
        /// One group for each day of the query's time zone.
        Day => "day",
        /// One group for each hour of the query's time zone.
        Hour => "hour",
        /// One group for each model (and provider, where two serve the same model).
        #[default]
        Model => "model",
        /// One group for each purpose of calls.
        Operation => "operation",
        /// One group for each provider.
        Provider => "provider",
    }
}

/// What a report is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// The grouping.
    pub by: By,
    /// The beginning of the time in question; `None` is everything kept.
    pub since: Option<Timestamp>,
    /// The end of the time in question, which is not part of it; `None` is now.
    pub until: Option<Timestamp>,
    /// Whose days and hours are meant.
    pub zone: Zone,
    /// Which of the groups.
    pub page: Page,
}

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub(super) TimeZone);

impl Zone {
    /// A local time of the zone (`2026-11-23T09:30`), or the beginning of a day (`2026-11-23`). One
    /// that a clock skips is later by as much as it skips; one that it shows twice is the first of
    /// the two. `None` for any other text.
    #[must_use]
    pub fn time(&self, text: &str) -> Option<Timestamp> {
        // More is understood by the parser, such as the name of another zone.
        let is_local = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-:.T".contains(&byte));
        let local = text.parse::<DateTime>().ok().filter(|_| is_local)?;
        self.0.to_timestamp(local).ok()
    }

    /// The time zone of this machine by its name; `None` where it has none.
    #[must_use]
    pub fn name_of_this_machine() -> Option<String> {
        TimeZone::system().iana_name().map(str::to_owned)
    }
}

/// The text is no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone: write a name such as 'Europe/Berlin', or an offset such as '+05:30'")]
pub struct InvalidZone;

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    /// Reads an IANA name or an offset (`+05:30`, `-08`).
    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        if text.starts_with(['+', '-']) {
            return offset(text)
                .map(|offset| Self(TimeZone::fixed(offset)))
                .ok_or(InvalidZone);
        }
        TimeZone::get(text).map(Self).map_err(|_| InvalidZone)
    }
}

fn offset(text: &str) -> Option<Offset> {
    let (hours, minutes) = text
        .get(1..)?
        .split_once(':')
        .unwrap_or((text.get(1..)?, "00"));
    let number = |digits: &str| {
        (digits.len() == 2)
            .then(|| digits.parse::<i32>().ok())
            .flatten()
    };
    let (hours, minutes) = (
        number(hours)?,
        number(minutes).filter(|minutes| *minutes < 60)?,
    );
    let seconds = (hours * 60 + minutes) * 60;
    Offset::from_seconds(if text.starts_with('-') {
        -seconds
    } else {
        seconds
    })
    .ok()
}

/// A stretch of time that a group stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// When it begins.
    start: Timestamp,
    /// What it is called: `2026-11-23`, `2026-11-23T20:00:00+01:00`.
    name: String,
}

impl Period {
    /// The day or hour of the zone in which a time lies.
    fn of(at: Timestamp, by: By, zone: &TimeZone) -> Self {
        let local = at.to_zoned_datetime(zone.clone());
        if by == By::Day {
            let start = local.start_of_day().map_or(at, |start| start.timestamp());
            return Self {
                start,
                name: local.date().to_string(),
            };
        }
        let into = i64::from(local.minute()) * 60 + i64::from(local.second());
        let whole = at.as_second() - into;
        let start = Timestamp::from_second(whole).unwrap_or(at);
        Self {
            start,
            name: start
                .to_zoned_datetime(zone.clone())
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string(),
        }
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// The sums of a span, and of its groups.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sums: ByModel,
    pub(super) operations: BTreeMap<Operation, Sums>,
    pub(super) periods: BTreeMap<Period, Sums>,
    pub(super) threads: Vec<FoundThread>,
    /// Of conversations that are not kept apart.
    pub(super) other: ByModel,
}

/// The sums of what belongs together.
#[derive(Debug)]
pub(super) struct FoundThread {
    pub(super) thread: Thread,
    pub(super) sums: ByModel,
    /// When its first call ended, and its last one, in milliseconds: the slot's beginning where
    /// that is all that is known.
    pub(super) first: i64,
    pub(super) last: i64,
}

/// From which time on every call has its row.
pub(super) fn rows_since(connection: &Connection) -> rusqlite::Result<i64> {
    let since = connection
        .query_row("SELECT since FROM kept WHERE what = 'calls'", [], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(since.unwrap_or(i64::MIN))
}

/// Sums up what is asked for, of a ledger that began then. The span is the one that could be
/// answered.
pub(super) fn answer(
    connection: &Connection,
    query: &UsageQuery,
    begun: Timestamp,
    now: Timestamp,
    models: &Models,
) -> rusqlite::Result<(Span, Found)> {
    let span = span(query, begun, now, rows_since(connection)?);
    let found = find(connection, &span, query.by, &query.zone, models)?;
    Ok((span, found))
}

/// The span that is asked for. From `rows_since` on every call has its row.
pub(super) fn span(query: &UsageQuery, begun: Timestamp, now: Timestamp, rows_since: i64) -> Span {
    let since = query.since.filter(|since| *since > begun);
    Span::new(since, query.until.filter(|until| *until <= now), rows_since)
}

/// Sums up a span.
pub(super) fn find(
    connection: &Connection,
    span: &Span,
    by: By,
    zone: &Zone,
    models: &Models,
) -> rusqlite::Result<Found> {
    let mut found = Found::default();
    match by {
        By::Model | By::Provider => found.sums = by_model(connection, span, models)?,
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
        By::Day | By::Hour => {
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
pub(super) fn threads(
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

fn bounds(span: &Span) -> [i64; 6] {
    let Span { slots, head, tail } = span;
    [slots.0, slots.1, head.0, head.1, tail.0, tail.1]
}

fn served(row: &Row<'_>, column: usize, models: &Models) -> rusqlite::Result<Option<Served>> {
    let model = models.label(&Model::from_wire(row.get_ref(column + 1)?.as_str()?));
    Ok(label(row, column)?.map(|provider| Served { model, provider }))
}

fn label<L: Label>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<L>> {
    Ok(L::parse(row.get_ref(column)?.as_str()?))
}

/// Outcome, quality, calls and tokens from this column on; `None` for a label that a later version
/// has written.
fn sums(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Sums>> {
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
const ENDS: &str = "(ended_at >= ?3 AND ended_at < ?4) OR (ended_at >= ?5 AND ended_at < ?6)";

/// As many conversations as are kept in memory; all others are one group.
const MAX_THREADS: usize = 1000;
