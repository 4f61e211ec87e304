//! The shape of the answers of `/v1/sessions`, and what is asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::cascades::InvalidCursor;
use super::groups::{ListedGroup, list_models};
use super::report::by_model;
use super::usage::Usage;
use crate::ledger::file::sessions::FoundSession;
use crate::ledger::memory::models::Names;
use crate::ledger::memory::substitutions::Substitutions;
use crate::ledger::memory::time::time;
use crate::record::{BranchName, Id, ProgramName, RepositoryName, SessionId, label};

label! {
    /// How a session stands.
    pub enum SessionState {
        /// It has ended.
        Ended => "ended",
        /// The program that observed it was ended before its end could be seen.
        Lost => "lost",
        /// It has not ended.
        Running => "running",
    }
}

/// Which sessions are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsQuery {
    /// At most so many.
    pub limit: usize,
    /// Only what follows an earlier page.
    pub cursor: Option<SessionCursor>,
}

/// Where the next page of sessions begins: [`SessionPage::next`] of the page before it. The text is
/// for machines alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCursor {
    /// When the last session of the page began, in milliseconds.
    started_at: i64,
    /// Its row.
    row: i64,
}

impl SessionCursor {
    pub(in crate::ledger) fn place(self) -> (i64, i64) {
        (self.started_at, self.row)
    }
}

impl FromStr for SessionCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (started_at, row) = text.split_once('.').ok_or(InvalidCursor)?;
        Ok(Self {
            started_at: started_at.parse().map_err(|_| InvalidCursor)?,
            row: row.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.started_at, self.row)
    }
}

impl Serialize for SessionCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A page of the sessions, the last to begin first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionUsage>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<SessionCursor>,
}

/// A session, and what it has spent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionUsage {
    /// Its id.
    pub id: SessionId,
    /// How it stands.
    pub state: SessionState,
    /// The program that was started.
    pub program: ProgramName,
    /// The repository that it was started in, under the name by which calls are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The name of the repository's root folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<RepositoryName>,
    /// The branch that was checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Its calls, as far as they are kept with their details.
    pub usage: Usage,
}

/// A session with everything that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionDetails {
    /// In short.
    #[serde(flatten)]
    pub session: SessionUsage,
    /// Its calls by model, those with the most tokens first.
    pub by_model: Vec<ListedGroup>,
    /// The programs that have called in it.
    pub programs: BTreeSet<ProgramName>,
    /// Its conversations, the one that was active last first.
    pub cascades: Vec<Id>,
}

impl SessionPage {
    /// Of one session more than the page may have, where there are so many. `is_live`: whether the
    /// process that has written the file runs.
    pub(in crate::ledger) fn new(
        mut found: Vec<FoundSession>,
        limit: usize,
        is_live: bool,
    ) -> Self {
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| has_more);
        Self {
            next: last.map(|last| SessionCursor {
                started_at: time(last.session.started_at).as_millisecond(),
                row: last.row,
            }),
            sessions: found
                .into_iter()
                .map(|found| SessionUsage::new(found, is_live))
                .collect(),
        }
    }
}

impl SessionUsage {
    fn new(found: FoundSession, is_live: bool) -> Self {
        let state = match found.ended_at {
            Some(_) => SessionState::Ended,
            None if found.is_of_last_boot && is_live => SessionState::Running,
            None => SessionState::Lost,
        };
        let repository = found.session.repository;
        Self {
            id: found.session.id,
            state,
            program: found.session.program,
            repository: repository.as_ref().map(|repository| repository.name()),
            branch: repository.as_ref().and_then(|it| it.branch.clone()),
            folder: repository.map(|repository| repository.folder),
            started_at: time(found.session.started_at),
            ended_at: found.ended_at,
            usage: Usage::from(&found.sums.total()),
        }
    }
}

/// What the file has of one session.
pub(in crate::ledger) struct StoredSession {
    pub(in crate::ledger) found: FoundSession,
    pub(in crate::ledger) programs: BTreeSet<ProgramName>,
    pub(in crate::ledger) cascades: Vec<Id>,
}

impl StoredSession {
    /// As it is shown. `is_live`: whether the process that has written the file runs.
    pub(in crate::ledger) fn into_details(self, names: &Names, is_live: bool) -> SessionDetails {
        let Self {
            found,
            programs,
            cascades,
        } = self;
        let models = by_model(&found.sums, &Substitutions::default(), names);
        SessionDetails {
            by_model: list_models(&models),
            session: SessionUsage::new(found, is_live),
            programs,
            cascades,
        }
    }
}
