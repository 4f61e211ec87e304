//! `gravimeter sessions`: the programs that were run, and what each has spent: by a running exporter
//! or in the file that one has left.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use jiff::{Timestamp, Unit};
use serde::Deserialize;
use serde_json::Value;

use super::exporter::{self, Target};
use super::{block_on, terminal_width};
use crate::ledger::{session_file, sessions_file};
use crate::record::SessionId;
use crate::term::figures::grouped;
use crate::term::grid::{Column, Grid};
use crate::term::table::Row;
use crate::web::sessions_query;

/// Show the programs that were run by `gravimeter run`, and what each has spent
///
/// Asks the running gravimeter; where none runs, reads its ledger, and says so.
#[derive(Debug, Args)]
pub(super) struct Sessions {
    /// One session, by its id
    id: Option<String>,
    /// How many sessions are listed at most
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print the JSON of /v1/sessions instead of a table
    #[arg(long)]
    json: bool,
    /// Print the CSV of /v1/sessions instead of a table
    #[arg(long, conflicts_with_all = ["json", "id"])]
    csv: bool,
    #[command(flatten)]
    target: Target,
}

impl Sessions {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let question = Question {
            id: self.id.as_deref().map(read_id).transpose()?,
            limit: self.limit,
            csv: self.csv,
        };
        let (base, ledger) = self.target.base_url_and_ledger()?;
        let body = question.ask(&base, ledger.as_deref())?;
        if self.csv {
            out.write_all(&body)?;
            return Ok(ExitCode::SUCCESS);
        }
        let answer: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{base} did not answer with the JSON of /v1/sessions"))?;
        if self.json || question.id.is_some() {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let page: Page = serde_json::from_value(answer)
            .context("the figures of /v1/sessions are not as expected")?;
        write!(out, "{}", list(&page, terminal_width()))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read_id(text: &str) -> anyhow::Result<SessionId> {
    SessionId::parse(text)
        .with_context(|| format!("{text:?} is no id: `gravimeter sessions --json` shows them"))
}

/// What is asked, of whomever.
struct Question {
    id: Option<SessionId>,
    limit: u16,
    csv: bool,
}

impl Question {
    /// The answer of the exporter, or else of the ledger that it has left.
    fn ask(&self, base: &str, ledger: Option<&Path>) -> anyhow::Result<Bytes> {
        let accept = if self.csv {
            "text/csv"
        } else {
            "application/json"
        };
        let path = match &self.id {
            Some(id) => format!("/v1/sessions/{id}"),
            None => format!("/v1/sessions?limit={}", self.limit),
        };
        let silence = match block_on(exporter::get_as(base, &path, accept)) {
            Err(error) if exporter::is_silence(&error) => error,
            answered => return answered,
        };
        let Some(ledger) = ledger else {
            return Err(silence);
        };
        let body = match self.read(ledger) {
            Ok(body) => body,
            Err(why) => bail!("{silence} And {why:#}"),
        };
        writeln!(
            io::stderr(),
            "nothing answers at {base}: this is what {} holds",
            ledger.display()
        )?;
        Ok(body)
    }

    fn read(&self, ledger: &Path) -> anyhow::Result<Bytes> {
        if let Some(id) = &self.id {
            let found = session_file(ledger, id)?;
            let found = found.with_context(|| format!("no session {id} is kept"))?;
            return Ok(serde_json::to_vec(&found)?.into());
        }
        let limit = ("limit".to_owned(), self.limit.to_string());
        let page = sessions_file(ledger, &sessions_query(&[limit])?)?;
        let body = if self.csv {
            page.to_csv()?
        } else {
            serde_json::to_vec(&page)?
        };
        Ok(body.into())
    }
}

/// The part of a page of `/v1/sessions` that is shown.
#[derive(Debug, Deserialize)]
struct Page {
    sessions: Vec<Session>,
    #[serde(default)]
    next: Option<String>,
}

/// The part of a session that is shown.
#[derive(Debug, Deserialize)]
struct Session {
    state: String,
    program: String,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    branch: Option<String>,
    started_at: Timestamp,
    #[serde(default)]
    ended_at: Option<Timestamp>,
    usage: Row,
}

/// A line for each session, the last to begin first.
fn list(page: &Page, width: usize) -> String {
    let all = &page.sessions;
    if all.is_empty() {
        return "No session is known yet: `gravimeter run -- PROGRAM` begins one.\n".to_owned();
    }
    let column = |cell: &dyn Fn(&Session) -> String| all.iter().map(cell).collect::<Vec<_>>();
    let grid = Grid::new("STARTED", column(&|session| second(session.started_at)))
        .column(Column::words(
            "PROGRAM",
            0,
            column(&|session| session.program.clone()),
        ))
        .column(Column::words(
            "STATE",
            2,
            column(&|session| session.state.clone()),
        ))
        .column(Column::figures("DURATION", 3, column(&duration)))
        .column(Column::words(
            "REPOSITORY",
            1,
            column(&|session| session.repository.clone().unwrap_or_default()),
        ))
        .column(Column::words(
            "BRANCH",
            4,
            column(&|session| session.branch.clone().unwrap_or_default()),
        ))
        .column(Column::figures(
            "CALLS",
            1,
            column(&|session| grouped(session.usage.calls)),
        ))
        .column(Column::figures(
            "TOKENS",
            0,
            column(&|session| grouped(session.usage.total_tokens)),
        ))
        .column(Column::figures(
            "COST",
            0,
            column(&|session| session.usage.cost()),
        ));
    let mut text = grid.render(width);
    if page.next.is_some() {
        text.push_str("There are older ones: see --limit.\n");
    }
    text
}

fn second(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

/// Empty while it runs, and where its end was not seen.
fn duration(session: &Session) -> String {
    let Some(ended_at) = session.ended_at else {
        return String::new();
    };
    let seconds = ended_at.duration_since(session.started_at).as_secs_f64();
    format!("{seconds:.1} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let text = r#"{"sessions": [
            {"id": "a", "state": "running", "program": "claude", "repository": "github.com/owner/name", "branch": "main",
             "started_at": "2026-11-30T14:00:00.5Z", "usage": {"calls": 2, "total_tokens": 1234567, "cost_usd": 1.5}},
            {"id": "b", "state": "ended", "program": "curl", "started_at": "2026-11-30T13:00:00Z",
             "ended_at": "2026-11-30T13:00:02.5Z", "usage": {"calls": 1, "total_tokens": 61, "unpriced_calls": 1}}
        ], "next": "1.2"}"#;
        serde_json::from_str(text).expect("a page")
    }

    #[test]
    fn sessions_are_listed_with_what_they_spent() {
        let expected = "\
STARTED               PROGRAM  STATE    DURATION  REPOSITORY             BRANCH  CALLS     TOKENS     COST
──────────────────────────────────────────────────────────────────────────────────────────────────────────
2026-11-30T14:00:01Z  claude   running            github.com/owner/name  main        2  1,234,567  $1.5000
2026-11-30T13:00:00Z  curl     ended       2.5 s                                     1         61        -
There are older ones: see --limit.
";
        assert_eq!(list(&page(), 160), expected);
        let narrow = list(&page(), 80);
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 80),
            "{narrow}"
        );
        let none = Page {
            sessions: Vec::new(),
            next: None,
        };
        assert!(list(&none, 80).starts_with("No session is known yet"));
    }

    #[test]
    fn what_is_no_id_is_refused_with_a_word() {
        let error = read_id("a/b").unwrap_err().to_string();
        assert!(error.contains("gravimeter sessions --json"), "{error}");
    }
}
