//! The rows of sessions: written when one begins and when it ends, read in pages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;

use super::columns::{FIGURES, FIGURES_OF_A_CALL, TOTALS, count};
use super::query::{served, sums};
use super::writer::Boot;
use crate::ledger::memory::sums::ByModel;
use crate::ledger::memory::time::time;
use crate::record::{
    BranchName, Id, Models, ProgramName, Repository, RepositoryName, Session, SessionEnded,
    SessionId,
};

/// A session, and what it has called as far as its calls are kept.
#[derive(Debug)]
pub(in crate::ledger) struct FoundSession {
    pub(in crate::ledger) session: Session,
    pub(in crate::ledger) ended_at: Option<Timestamp>,
    /// Whether the newest process that has written the file knows of its begin.
    pub(in crate::ledger) is_of_last_boot: bool,
    pub(in crate::ledger) sums: ByModel,
    /// The number of the row, which places it among those that began at the same time.
    pub(in crate::ledger) row: i64,
}

/// Writes the begin of a session. One that goes on under another process is not ended any more.
pub(super) fn start(connection: &Connection, boot: i64, session: &Session) -> rusqlite::Result<()> {
    let repository = session.repository.as_ref();
    let mut insert = connection.prepare_cached(
        "INSERT INTO sessions (session, boot, started_at, program, folder, remote, branch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (session) DO UPDATE SET boot = excluded.boot, ended_at = NULL",
    )?;
    insert.execute(params![
        session.id.as_str(),
        boot,
        time(session.started_at).as_millisecond(),
        session.program.as_str(),
        repository.map(|repository| repository.folder.as_str()),
        repository.and_then(|repository| Some(repository.remote.as_ref()?.as_str())),
        repository.and_then(|repository| Some(repository.branch.as_ref()?.as_str())),
    ])?;
    Ok(())
}

/// Writes the end of a session.
pub(super) fn end(connection: &Connection, ended: &SessionEnded) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE sessions SET ended_at = ?2 WHERE session = ?1")?;
    update.execute(params![
        ended.id.as_str(),
        time(ended.ended_at).as_millisecond()
    ])?;
    Ok(())
}

/// The session of that id, where it is kept.
pub(super) fn session_of(
    connection: &Connection,
    id: &SessionId,
) -> rusqlite::Result<Option<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE session = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let found = select.query_row([id.as_str()], session).optional()?;
    Ok(found.flatten())
}

/// At most `limit` sessions, the last to begin first, from behind the one of that time and row on.
pub(in crate::ledger) fn sessions(
    connection: &Connection,
    behind: Option<(i64, i64)>,
    limit: usize,
    models: &Models,
) -> rusqlite::Result<Vec<FoundSession>> {
    let (at, row) = behind.unwrap_or((i64::MAX, i64::MAX));
    let sql = format!(
        "SELECT {COLUMNS}, ended_at, boot, id FROM sessions WHERE (started_at, id) < (?1, ?2) \
         ORDER BY started_at DESC, id DESC LIMIT ?3"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read(connection, &sql, params![at, row, limit], models)
}

/// The one session of that id.
pub(in crate::ledger) fn one(
    connection: &Connection,
    id: &SessionId,
    models: &Models,
) -> rusqlite::Result<Option<FoundSession>> {
    let sql = format!("SELECT {COLUMNS}, ended_at, boot, id FROM sessions WHERE session = ?1");
    let found = read(connection, &sql, params![id.as_str()], models)?;
    Ok(found.into_iter().next())
}

/// The conversations of a session, the one that was active last first, at most
/// [`MAX_CASCADES`].
pub(in crate::ledger) fn cascades_of(
    connection: &Connection,
    id: &SessionId,
) -> rusqlite::Result<Vec<Id>> {
    let mut select = connection.prepare(
        "SELECT cascade FROM calls WHERE session = ?1 AND cascade IS NOT NULL GROUP BY 1 ORDER BY max(ended_at) DESC LIMIT ?2",
    )?;
    let found = select.query_map(params![id.as_str(), MAX_CASCADES], |row| {
        Ok(Id::from_wire(row.get_ref(0)?.as_str()?))
    })?;
    found.filter_map(Result::transpose).collect()
}

/// The programs that have called in a session, by their names, at most [`MAX_PROGRAMS`].
pub(in crate::ledger) fn programs_of(
    connection: &Connection,
    id: &SessionId,
) -> rusqlite::Result<BTreeSet<ProgramName>> {
    let mut select = connection.prepare(
        "SELECT DISTINCT program FROM calls WHERE session = ?1 AND program IS NOT NULL LIMIT ?2",
    )?;
    let found = select.query_map(params![id.as_str(), MAX_PROGRAMS], |row| {
        Ok(ProgramName::new(row.get_ref(0)?.as_str()?))
    })?;
    found.filter_map(Result::transpose).collect()
}

fn read(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    models: &Models,
) -> rusqlite::Result<Vec<FoundSession>> {
    let last_boot = Boot::last(connection)?;
    let mut select = connection.prepare(sql)?;
    let found = select.query_map(values, |row| {
        let Some(session) = session(row)? else {
            return Ok(None);
        };
        let ended_at: Option<i64> = row.get(6)?;
        Ok(Some(FoundSession {
            session,
            ended_at: ended_at.map(|at| Timestamp::from_millisecond(at).unwrap_or_default()),
            is_of_last_boot: row.get::<_, i64>(7)? == last_boot,
            sums: ByModel::default(),
            row: row.get(8)?,
        }))
    })?;
    let mut found: Vec<_> = found
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<_>>()?;
    let mut sums = sums_of(connection, &found, models)?;
    for found in &mut found {
        found.sums = sums.remove(&found.session.id).unwrap_or_default();
    }
    Ok(found)
}

/// What each of the sessions has called.
fn sums_of(
    connection: &Connection,
    found: &[FoundSession],
    models: &Models,
) -> rusqlite::Result<BTreeMap<SessionId, ByModel>> {
    let ids: Vec<&str> = found
        .iter()
        .map(|found| found.session.id.as_str())
        .collect();
    let (figures, of_a_call, totals) = (&*FIGURES, &*FIGURES_OF_A_CALL, &*TOTALS);
    let sql = format!(
        "WITH own (session, provider, model, outcome, quality, {figures}) AS \
         (SELECT session, provider, coalesce(counted_as, model), outcome, quality, {of_a_call} FROM calls \
         WHERE session IN (SELECT value FROM json_each(?1))) \
         SELECT session, provider, model, outcome, quality, {totals} FROM own GROUP BY 1, 2, 3, outcome, quality"
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([json!(ids).to_string()])?;
    let mut by_session = BTreeMap::<SessionId, ByModel>::new();
    while let Some(row) = rows.next()? {
        let id = SessionId::parse(row.get_ref(0)?.as_str()?);
        let figures = served(row, 1, models)?.zip(sums(row, 3)?);
        if let Some((id, (served, sums))) = id.zip(figures) {
            by_session.entry(id).or_default().add(&served, &sums);
        }
    }
    Ok(by_session)
}

/// Of the columns [`COLUMNS`]; `None` for an id or a program that this version would not have
/// written.
fn session(row: &Row<'_>) -> rusqlite::Result<Option<Session>> {
    let text = |column: usize| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?);
    let id = text(0)?.and_then(SessionId::parse);
    let Some((id, program)) = id.zip(text(2)?.and_then(ProgramName::new)) else {
        return Ok(None);
    };
    let (remote, branch) = (text(4)?, text(5)?);
    let repository = text(3)?.and_then(RepositoryName::of_folder);
    Ok(Some(Session {
        id,
        program,
        repository: repository.map(|folder| Repository {
            folder,
            remote: remote.and_then(RepositoryName::new),
            branch: branch.and_then(BranchName::new),
        }),
        started_at: UNIX_EPOCH + Duration::from_millis(count(row, 1)?),
    }))
}

const COLUMNS: &str = "session, started_at, program, folder, remote, branch";

/// Conversations of a session that are listed; a person begins a few.
const MAX_CASCADES: i64 = 100;

/// Programs of a session that are listed; an agent starts a few that call models themselves.
const MAX_PROGRAMS: i64 = 100;
