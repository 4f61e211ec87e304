//! What `/v1/usage` and `/v1/sessions` are asked for, and what the file says to it.

use jiff::Timestamp;
use rusqlite::Connection;

use super::page::Page;
use super::sessions::{SessionPage, SessionsQuery, StoredSession};
use crate::ledger::file::grouping::{By, Zone};
use crate::ledger::file::query::{Found, find, rows_since};
use crate::ledger::file::sessions;
use crate::ledger::file::span::Span;
use crate::ledger::file::spent::{self, SpentBy};
use crate::record::{Models, SessionId, SubjectTotals};

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

/// Sums up what is asked for, of a ledger that began then. The span is the one that could be
/// answered.
pub(in crate::ledger) fn answer(
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

/// What was spent from a time on; `None` where that cannot be told any more.
pub(in crate::ledger) fn spent(
    connection: &Connection,
    since: Timestamp,
    by: SpentBy,
    models: &Models,
) -> rusqlite::Result<Option<Vec<SubjectTotals>>> {
    let rows_since = rows_since(connection)?;
    let span = Span::new(Some(since), None, rows_since);
    // Roll-ups are whole quarters of an hour: in no time zone in use does that move the begin of a
    // window.
    let is_moved = span.since().is_some_and(|begin| begin < since);
    let is_gone = by == SpentBy::Session && since.as_millisecond() < rows_since;
    if is_moved || is_gone {
        return Ok(None);
    }
    spent::spent(connection, &span, by, models).map(Some)
}

/// A page of sessions. `is_live`: whether the process that has written the file runs.
pub(in crate::ledger) fn sessions(
    connection: &Connection,
    query: &SessionsQuery,
    models: &Models,
    is_live: bool,
) -> rusqlite::Result<SessionPage> {
    let behind = query.cursor.map(|cursor| cursor.place());
    let found = sessions::sessions(connection, behind, query.limit.saturating_add(1), models)?;
    Ok(SessionPage::new(found, query.limit, is_live))
}

/// Everything that the file has of one session.
pub(in crate::ledger) fn session(
    connection: &Connection,
    id: &SessionId,
    models: &Models,
) -> rusqlite::Result<Option<StoredSession>> {
    let Some(found) = sessions::one(connection, id, models)? else {
        return Ok(None);
    };
    Ok(Some(StoredSession {
        found,
        programs: sessions::programs_of(connection, id)?,
        cascades: sessions::cascades_of(connection, id)?,
    }))
}

/// The span that is asked for. From `rows_since` on every call has its row.
pub(in crate::ledger) fn span(
    query: &UsageQuery,
    begun: Timestamp,
    now: Timestamp,
    rows_since: i64,
) -> Span {
    let since = query.since.filter(|since| *since > begun);
    Span::new(since, query.until.filter(|until| *until <= now), rows_since)
}
