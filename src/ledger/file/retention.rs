//! What goes: rows of calls, runs, quotas and sessions that are too old, and the oldest of them while the
//! file is too large.
//!
//! Roll-ups of usage stay for good, those by program and repository too: a year of heavy use is some
//! 30 MB of each. Those by conversation go with the calls.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::span;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Retention {
    /// Rows that are older go.
    pub(in crate::ledger) keep_calls: Duration,
    /// While the file is larger, the oldest rows go; in bytes.
    pub(in crate::ledger) max_size: u64,
}

/// Removes one part of what has to go. Returns whether there may be more.
pub(in crate::ledger) fn part(
    connection: &mut Connection,
    retention: Retention,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let keep = i64::try_from(retention.keep_calls.as_millis()).unwrap_or(i64::MAX);
    let mut before = now.as_millisecond().saturating_sub(keep);
    if size(&transaction)? > retention.max_size {
        before = before.max(end_of_oldest_part(&transaction)?);
    }
    let removed = remove(&transaction, before)?;
    transaction.commit()?;
    if removed > 0 {
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    }
    Ok(removed > 0)
}

/// The bytes that are in use.
fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let number =
        |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    Ok(u64::try_from(pages.saturating_mul(number("page_size")?)).unwrap_or(0))
}

/// A time by which one part of the calls had ended.
fn end_of_oldest_part(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT min(ended_at, 9223372036854775806) + 1 FROM calls ORDER BY ended_at LIMIT 1 OFFSET ?1";
    let part = connection
        .query_row(sql, [ROWS - 1], |row| row.get(0))
        .optional()?;
    let all = || {
        connection.query_row(
            "SELECT min(coalesce(max(ended_at), -1), 9223372036854775806) + 1 FROM calls",
            [],
            |row| row.get(0),
        )
    };
    part.map_or_else(all, Ok)
}

/// Removes at most [`ROWS`] rows of each kind from before a time; returns how many. From which time
/// on every row is kept is noted first: answers then know where they must do with roll-ups.
fn remove(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    let mut removed = 0;
    for (table, time) in [
        ("calls", "ended_at"),
        ("runs", "started_at"),
        ("quotas", "read_at"),
        ("sessions", "coalesce(ended_at, started_at)"),
    ] {
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {time} < ?1 ORDER BY {time} LIMIT ?2)"
        );
        removed += connection.execute(&sql, params![before, ROWS])?;
    }
    if removed > 0 {
        connection.execute(
            "INSERT INTO kept (what, since) VALUES ('calls', ?1) ON CONFLICT DO UPDATE SET since = max(since, excluded.since)",
            [before],
        )?;
    }
    // The slot in which the time lies still has calls.
    removed += connection.execute(
        "DELETE FROM cascade_slots WHERE slot < ?1",
        [span::floor(before)],
    )?;
    Ok(removed)
}

/// Rows of one part: some tens of milliseconds, which new records wait for.
const ROWS: i64 = 2000;

/// Pages that are given back to the file system at a time.
const PAGES: u32 = 1000;
