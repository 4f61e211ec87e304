//! Queries the file of a ledger while no gravimeter runs, without changing it: nothing is created,
//! moved, locked or updated to another version.
//!
//! The answer is the one that the program would give, but for the names that agents give to models,
//! which no file holds.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::query::{self, UsageQuery};
use super::report::UsageReport;
use super::sessions::{SessionDetails, SessionPage, SessionsQuery};
use crate::ledger::file::open::{OpenError, READER, open_read_only, resolved, with_suffix};
use crate::ledger::file::restore;
use crate::ledger::file::schema::{MIGRATIONS, version};
use crate::ledger::memory::models::Names;
use crate::record::{Models, SessionId};

/// Why a file has no answer. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such file.
    #[error("there is no ledger at {path}: start gravimeter, or name its file with --ledger.path", path = .0.display())]
    Missing(PathBuf),
    /// It was written by an earlier version of this program.
    #[error("{path} is of an earlier version: `gravimeter serve` brings it up to date when it starts", path = .0.display())]
    Older(PathBuf),
    /// It cannot be opened or read, or holds something else.
    #[error("{path} cannot be read: {why}", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Answers a query from the file at `path`; `now` is the time of the answer.
///
/// # Errors
/// [`ArchiveError`] when there is no such file, or none that this version can read.
pub fn query_file(
    path: &Path,
    query: &UsageQuery,
    now: Timestamp,
) -> Result<UsageReport, ArchiveError> {
    ask(path, |connection| answer(connection, query, now))
}

/// A page of the sessions that the file at `path` holds.
///
/// # Errors
/// [`ArchiveError`] when there is no such file, or none that this version can read.
pub fn sessions_file(path: &Path, query: &SessionsQuery) -> Result<SessionPage, ArchiveError> {
    ask(path, |connection| {
        let models = models(connection)?;
        query::sessions(connection, query, &models, false)
    })
}

/// Everything that the file at `path` holds of one session; `None` where it knows none of that id.
///
/// # Errors
/// [`ArchiveError`] when there is no such file, or none that this version can read.
pub fn session_file(path: &Path, id: &SessionId) -> Result<Option<SessionDetails>, ArchiveError> {
    ask(path, |connection| {
        let models = models(connection)?;
        let found = query::session(connection, id, &models)?;
        Ok(found.map(|found| found.into_details(&Names::default(), false)))
    })
}

/// The answer of a file to a question, all parts of which see the same state.
fn ask<T>(
    path: &Path,
    question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, ArchiveError> {
    let unreadable = |why: String| ArchiveError::Unreadable {
        path: path.to_owned(),
        why,
    };
    // The folder may be closed to others: that is no file which is missing.
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(unreadable(
                "it is no regular file (a symbolic link is none)".to_owned(),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ArchiveError::Missing(path.to_owned()));
        }
        Err(error) => return Err(unreadable(error.to_string())),
    }
    std::fs::File::open(path)
        .map_err(|error| unreadable(format!("{error}; only its owner may")))?;
    let mut connection = open(path).map_err(|error| unreadable(error.to_string()))?;
    let known = version(&connection, MIGRATIONS).map_err(|error| unreadable(error.to_string()))?;
    if usize::try_from(known).is_ok_and(|known| known < MIGRATIONS.len()) {
        return Err(ArchiveError::Older(path.to_owned()));
    }
    let answered = connection
        .transaction()
        .and_then(|transaction| question(&transaction));
    answered.map_err(|error| unreadable(error.to_string()))
}

/// If there is no journal beside the file, it is read as it is: otherwise SQLite would create files
/// there.
fn open(path: &Path) -> Result<Connection, OpenError> {
    let path = resolved(path)?;
    let log = with_suffix(&path, "-wal").metadata();
    if log.is_ok_and(|log| log.len() > 0) {
        return Ok(open_read_only(&path)?);
    }
    let name = percent_encode(path.as_os_str().as_bytes(), PATH);
    let flags = READER.union(OpenFlags::SQLITE_OPEN_URI);
    Ok(Connection::open_with_flags(
        format!("file:{name}?immutable=1"),
        flags,
    )?)
}

/// As [`crate::ledger::Ledger::query`] does it after a start on the file.
fn answer(
    connection: &Connection,
    query: &UsageQuery,
    now: Timestamp,
) -> rusqlite::Result<UsageReport> {
    let models = models(connection)?;
    let begun: Option<i64> =
        connection.query_row("SELECT min(started_at) FROM boots", [], |row| row.get(0))?;
    let begun = begun
        .and_then(|begun| Timestamp::from_millisecond(begun).ok())
        .unwrap_or(now);
    let (span, found) = query::answer(connection, query, begun, now, &models)?;
    let (since, until) = (span.since().unwrap_or(begun), span.until().unwrap_or(now));
    Ok(found
        .into_report(query, since, until, &Names::default())
        .cut(query.by, &query.page))
}

/// The models with the labels that they get at a start.
fn models(connection: &Connection) -> rusqlite::Result<Models> {
    let models = Models::default();
    restore::totals(connection, &models)?;
    Ok(models)
}

/// What stands for itself in the path of a `file:` URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');
