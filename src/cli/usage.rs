//! `gravimeter usage`: what was counted over any span of time, by a running exporter or in the file
//! that one has left.
//!
//! Both are asked the same question and give the same answer: a table with a bar for each hour, day,
//! week or month, JSON, or CSV.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::exporter::{self, Target};
use super::{block_on, terminal_width};
use crate::ledger::{Zone, query_file};
use crate::term::table;
use crate::web::{WrongUsageQuery, usage_query};

/// Show the calls and tokens that were counted, and what they cost
///
/// Asks the running gravimeter; where none runs, reads its ledger, and says so.
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// What each line is for
    #[arg(long, value_enum, default_value = "model")]
    by: By,
    /// Count from then on: today, yesterday, the last monday (or another weekday), a duration (24h),
    /// a day (2026-11-01), a local time (2026-11-01T09:30) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = |text: &str| checked("since", text))]
    since: Option<String>,
    /// Count until then, in the same words
    #[arg(long, value_name = "TIME", value_parser = |text: &str| checked("until", text))]
    until: Option<String>,
    /// Whose hours, days, weeks and months are meant: a name (Europe/Berlin) or an offset (+05:30). Without it:
    /// this machine's, or else UTC
    #[arg(long, value_name = "ZONE", value_parser = |text: &str| checked("tz", text), allow_hyphen_values = true)]
    tz: Option<String>,
    /// How many lines there are at most: the first hours, days, weeks or months, of everything else
    /// those with the most tokens
    #[arg(long, value_name = "COUNT", value_parser = |text: &str| checked("limit", text))]
    limit: Option<String>,
    /// Print the JSON of /v1/usage instead of a table
    #[arg(long)]
    json: bool,
    /// Print the CSV of /v1/usage instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Branches, after their repository; 'unknown' are calls of which that is not known
    Branch,
    /// Conversations; 'trajectory/...' and 'unknown' are calls whose conversation is not known
    Cascade,
    /// Days, with a bar for each on a terminal
    Day,
    /// Hours, with a bar for each on a terminal
    Hour,
    /// Models
    Model,
    /// Months, with a bar for each on a terminal
    Month,
    /// What the calls were for
    Operation,
    /// Programs that have called; 'unknown' are calls of which that is not known
    Program,
    /// Providers
    Provider,
    /// Repositories that programs worked in; 'unknown' are calls of which that is not known
    Repository,
    /// Rules that changed requests, together where several changed one; 'none' are all other calls
    Rule,
    /// Sessions of `gravimeter run`; 'unknown' are calls of none
    Session,
    /// Subagents, after their conversation; 'none' are calls that no subagent is known to have made
    Subagent,
    /// Weeks, each by its Monday, with a bar for each on a terminal
    Week,
}

impl By {
    /// Its name as a parameter, where its groups stand in the answer, and the head of their column.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Branch => ("branch", "branches", "BRANCH"),
            Self::Cascade => ("cascade", "cascades", "CASCADE"),
            Self::Day => ("day", "days", "DAY"),
            Self::Hour => ("hour", "hours", "HOUR"),
            Self::Model => ("model", "models", "MODEL"),
            Self::Month => ("month", "months", "MONTH"),
            Self::Operation => ("operation", "operations", "OPERATION"),
            Self::Program => ("program", "programs", "PROGRAM"),
            Self::Provider => ("provider", "providers", "PROVIDER"),
            Self::Repository => ("repository", "repositories", "REPOSITORY"),
            Self::Rule => ("rule", "rules", "RULES"),
            Self::Session => ("session", "sessions", "SESSION"),
            Self::Subagent => ("subagent", "subagents", "SUBAGENT"),
            Self::Week => ("week", "weeks", "WEEK"),
        }
    }

    /// Whether the groups are periods of time.
    fn is_of_time(self) -> bool {
        match self {
            Self::Day | Self::Hour | Self::Month | Self::Week => true,
            Self::Branch
            | Self::Cascade
            | Self::Model
            | Self::Operation
            | Self::Program
            | Self::Provider
            | Self::Repository
            | Self::Rule
            | Self::Session
            | Self::Subagent => false,
        }
    }
}

impl Usage {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let (by, json, csv) = (self.by, self.json, self.csv);
        let question = Question {
            parameters: self.parameters(),
            csv,
        };
        let (base, ledger) = self.target.base_url_and_ledger()?;
        let body = question.ask(&base, ledger.as_deref())?;
        if csv {
            out.write_all(&body)?;
            return Ok(ExitCode::SUCCESS);
        }
        let answer: Map<String, Value> = serde_json::from_slice(&body)
            .with_context(|| format!("{base} did not answer with the JSON of /v1/usage"))?;
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let has_more = answer.contains_key("next_cursor");
        let is_saturated = answer
            .get("totals")
            .is_some_and(|totals| totals.get("saturated") == Some(&Value::Bool(true)));
        write!(out, "{}", text(&rows(answer, by)?, by))?;
        if has_more {
            writeln!(
                io::stderr(),
                "there are more lines than are shown (--limit); the total is that of all"
            )?;
        }
        if is_saturated {
            writeln!(
                io::stderr(),
                "figures are lower bounds: a sum has reached the largest number that can be kept or told"
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The parameters of `/v1/usage`. The zone is told whenever a word depends on it.
    fn parameters(&self) -> Vec<(String, String)> {
        let needs_zone = self.by.is_of_time() || self.since.is_some() || self.until.is_some();
        let of_this_machine = || Zone::name_of_this_machine().filter(|_| needs_zone);
        let given = [
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("tz", self.tz.clone().or_else(of_this_machine)),
            ("limit", self.limit.clone()),
        ];
        let given = given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        [("by".to_owned(), self.by.names().0.to_owned())]
            .into_iter()
            .chain(given)
            .collect()
    }
}

/// What is asked, of whomever.
struct Question {
    parameters: Vec<(String, String)>,
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
        let silence = match block_on(exporter::get_as(base, &self.path(), accept)) {
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

    fn path(&self) -> String {
        let pair = |(name, value): &(String, String)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        };
        format!(
            "/v1/usage?{}",
            self.parameters
                .iter()
                .map(pair)
                .collect::<Vec<_>>()
                .join("&")
        )
    }

    fn read(&self, ledger: &Path) -> anyhow::Result<Bytes> {
        let now = Timestamp::now();
        let query = usage_query(&self.parameters, now)?;
        let report = query_file(ledger, &query, now)?;
        let body = if self.csv {
            report.to_csv(query.by)?
        } else {
            serde_json::to_vec(&report)?
        };
        Ok(body.into())
    }
}

/// A value that the parameter of that name may have.
fn checked(name: &str, text: &str) -> Result<String, WrongUsageQuery> {
    usage_query(&[(name.to_owned(), text.to_owned())], Timestamp::now()).map(|_| text.to_owned())
}

fn text(usage: &table::Usage, by: By) -> String {
    let (head, width) = (by.names().2, terminal_width());
    if by.is_of_time() {
        table::render_periods(head, usage, width, io::stdout().is_terminal())
    } else {
        table::render_by(head, usage, width)
    }
}

/// The table's lines: the groups that were asked for.
fn rows(mut answer: Map<String, Value>, by: By) -> anyhow::Result<table::Usage> {
    if let Some(groups) = answer.remove(by.names().1) {
        answer.insert("models".to_owned(), groups);
    }
    serde_json::from_value(Value::Object(answer))
        .context("the figures of /v1/usage are not as expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_every_kind_become_lines() {
        for by in By::value_variants() {
            let text = format!(
                r#"{{"totals": {{"calls": 2}}, "{}": {{"x": {{"calls": 2}}}}}}"#,
                by.names().1
            );
            let usage = rows(serde_json::from_str(&text).unwrap(), *by).unwrap();
            assert_eq!((usage.totals.calls, usage.models["x"].calls), (2, 2));
        }
    }

    #[test]
    fn values_are_checked_as_the_exporter_does_and_survive_the_path() {
        assert_eq!(checked("since", "24h").as_deref(), Ok("24h"));
        assert_eq!(checked("since", "tomorrow"), Err(WrongUsageQuery::Since));
        assert_eq!(checked("limit", "0"), Err(WrongUsageQuery::Limit));
        assert_eq!(checked("tz", "Mars/Olympus"), Err(WrongUsageQuery::Zone));
        let parameters = vec![
            ("by".to_owned(), "day".to_owned()),
            ("tz".to_owned(), "+05:30".to_owned()),
        ];
        let question = Question {
            parameters,
            csv: false,
        };
        assert_eq!(question.path(), "/v1/usage?by=day&tz=%2B05%3A30");
    }
}
