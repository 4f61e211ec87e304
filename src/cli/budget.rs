//! `gravimeter budget`: how much of each budget is spent, by a running exporter, and the command that
//! lets calls pass though a budget stops them.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp, Unit};
use serde::Deserialize;

use super::exporter::{self, Target};
use super::flags::ConfigFlags;
use super::{block_on, terminal_width};
use crate::app;
use crate::budget::BudgetName;
use crate::term::figures::percent_left;
use crate::term::grid::{Column, Grid};

/// Show how much of each budget is spent, or let calls pass that one stops
///
/// Asks the running gravimeter. Budgets are configured as `[[budget]]`: docs/budgets.md.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Budget {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the JSON of /v1/budgets instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let the calls pass that a budget stops, for a while
    Lift {
        /// The budget
        name: BudgetName,
        /// For how long, as 30m or 2h
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Duration,
        #[command(flatten)]
        config: ConfigFlags,
    },
}

impl Budget {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        if let Some(Command::Lift { name, time, config }) = self.command {
            let socket = config.load()?.config.control_socket();
            let until = block_on(async { Ok(app::lift(&socket, name.as_str(), time).await?) })?;
            writeln!(out, "Calls pass until {}.", local(until))?;
            return Ok(ExitCode::SUCCESS);
        }
        let base = self.target.base_url()?;
        let body = block_on(exporter::get(&base, "/v1/budgets"))?;
        if self.json {
            let answer: serde_json::Value = serde_json::from_slice(&body)?;
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let answer: Answer = serde_json::from_slice(&body)
            .with_context(|| format!("{base} did not answer with the JSON of /v1/budgets"))?;
        write!(out, "{}", table(&answer, terminal_width()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is shown of `/v1/budgets`.
#[derive(Debug, Deserialize)]
struct Answer {
    budgets: Vec<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    name: String,
    unit: String,
    limit: f64,
    per: String,
    by: String,
    state: String,
    used: f64,
    used_ratio: f64,
    is_lower_bound: bool,
    until: Option<Timestamp>,
    lifted_until: Option<Timestamp>,
    groups: Vec<GroupStatus>,
}

#[derive(Debug, Deserialize)]
struct GroupStatus {
    name: String,
    session: Option<String>,
    state: String,
    used: f64,
    used_ratio: f64,
}

/// A line of the table.
struct Line<'a> {
    name: String,
    budget: &'a Status,
    state: &'a str,
    used: f64,
    used_ratio: f64,
}

impl<'a> Line<'a> {
    /// The budget, or its groups where it has any.
    fn of(budget: &'a Status) -> Vec<Self> {
        if budget.groups.is_empty() {
            return vec![Self {
                name: budget.name.clone(),
                budget,
                state: &budget.state,
                used: budget.used,
                used_ratio: budget.used_ratio,
            }];
        }
        let groups = budget.groups.iter();
        groups
            .map(|group| {
                let parts = [
                    Some(&budget.name),
                    Some(&group.name),
                    group.session.as_ref(),
                ];
                let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
                let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                Self {
                    name: parts.join(" "),
                    budget,
                    state: &group.state,
                    used: group.used,
                    used_ratio: group.used_ratio,
                }
            })
            .collect()
    }

    fn state(&self) -> String {
        match (self.state, self.budget.lifted_until) {
            ("lifted", Some(until)) => format!("lifted until {}", local(until)),
            (state, _) => state.to_owned(),
        }
    }
}

fn table(answer: &Answer, width: usize) -> String {
    if answer.budgets.is_empty() {
        return "There are no budgets: docs/budgets.md says how to write one.\n".to_owned();
    }
    let lines: Vec<_> = answer.budgets.iter().flat_map(Line::of).collect();
    let of = |cell: fn(&Line<'_>) -> String| lines.iter().map(cell).collect::<Vec<_>>();
    Grid::new("BUDGET", of(|line| line.name.clone()))
        .column(Column::figures(
            "USED",
            0,
            of(|line| {
                let at_least = if line.budget.is_lower_bound {
                    ">= "
                } else {
                    ""
                };
                format!("{at_least}{}", amount(&line.budget.unit, line.used))
            }),
        ))
        .column(Column::figures(
            "LIMIT",
            0,
            of(|line| amount(&line.budget.unit, line.budget.limit)),
        ))
        .column(Column::figures(
            "",
            0,
            of(|line| percent_left(line.used_ratio)),
        ))
        .column(Column::words("STATE", 0, of(|line| line.state())))
        .column(Column::words("PER", 1, of(|line| line.budget.per.clone())))
        .column(Column::words("BY", 2, of(|line| line.budget.by.clone())))
        .column(Column::words(
            "UNTIL",
            1,
            of(|line| line.budget.until.map(local).unwrap_or_default()),
        ))
        .render(width)
}

/// An amount in its unit, as people write it.
fn amount(unit: &str, amount: f64) -> String {
    match unit {
        "cost" => format!("${amount:.2}"),
        _ => format!("{amount:.0}"),
    }
}

/// A time of this machine's zone.
fn local(at: Timestamp) -> String {
    let at = at.round(Unit::Second).unwrap_or(at);
    let zone = jiff::tz::TimeZone::system();
    at.to_zoned_datetime(zone)
        .strftime("%Y-%m-%d %H:%M %Z")
        .to_string()
}

fn time(text: &str) -> Result<Duration, String> {
    let read = text.parse::<SignedDuration>().ok();
    let read = read.and_then(|time| Duration::try_from(time).ok());
    read.filter(|time| (SHORTEST..=LONGEST).contains(time))
        .ok_or_else(|| "write a time from one second to a year, such as 30m or 2h".to_owned())
}

const SHORTEST: Duration = Duration::from_secs(1);

/// What shall pass for longer needs another limit.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
