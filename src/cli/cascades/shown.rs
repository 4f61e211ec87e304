//! The answers of `/v1/cascades` as text for a terminal. Fields that are missing count as not
//! reported.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{Timestamp, Unit};
use serde::Deserialize;

use crate::term::figures::{dollars, duration, grouped};
use crate::term::grid::{Column, Grid};
use crate::term::table::Row;

/// The part of a page of `/v1/cascades` that is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) cascades: Vec<Cascade>,
    #[serde(default)]
    next: Option<String>,
}

/// The part of a conversation that is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Cascade {
    pub(super) id: String,
    state: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    started_at: Timestamp,
    #[serde(default)]
    running_since: Option<Timestamp>,
    runs_ended: u64,
    #[serde(default)]
    last_run: Option<Run>,
    usage: Row,
}

#[derive(Debug, Deserialize)]
struct Run {
    started_at: Timestamp,
    duration_seconds: f64,
    #[serde(default)]
    time_to_first_chunk_seconds: Option<f64>,
    outcome: String,
    calls: u64,
    total_tokens: u64,
}

/// The part of `/v1/cascades/{id}` that is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Details {
    #[serde(flatten)]
    cascade: Cascade,
    #[serde(default)]
    steps: BTreeMap<String, BTreeMap<String, u64>>,
    #[serde(default)]
    runs: Vec<Run>,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    started_at: Timestamp,
    duration_seconds: f64,
    #[serde(default)]
    time_to_first_chunk_seconds: Option<f64>,
    operation: String,
    model: String,
    outcome: String,
    tokens: BTreeMap<String, Option<u64>>,
    total_tokens: u64,
    #[serde(default)]
    cost_usd: Option<f64>,
}

/// A line for each conversation, with the run that is under way or was the last.
pub(super) fn list(page: &Page, width: usize) -> String {
    let all = &page.cascades;
    if all.is_empty() {
        return "No conversation is known yet.\n".to_owned();
    }
    let run = |cascade: &Cascade, text: fn(&Run) -> String| {
        shown_run(cascade).map(text).unwrap_or_default()
    };
    let column = |cell: &dyn Fn(&Cascade) -> String| all.iter().map(cell).collect::<Vec<_>>();
    let grid = Grid::new("CASCADE", column(&|cascade| cascade.id.clone()))
        .with_ids()
        .column(Column::words(
            "STATE",
            1,
            column(&|cascade| cascade.state.clone()),
        ))
        .column(Column::words(
            "STARTED",
            4,
            column(&|cascade| second(last_start(cascade))),
        ))
        .column(Column::figures(
            "DURATION",
            2,
            column(&|cascade| run(cascade, |run| duration(run.duration_seconds))),
        ))
        .column(Column::words(
            "OUTCOME",
            1,
            column(&|cascade| run(cascade, |run| run.outcome.clone())),
        ))
        .column(Column::words(
            "MODEL",
            3,
            column(&|cascade| cascade.model.clone().unwrap_or_default()),
        ))
        .column(Column::figures(
            "RUNS",
            5,
            column(&|cascade| grouped(cascade.runs_ended)),
        ))
        .column(Column::figures(
            "CALLS",
            0,
            column(&|cascade| grouped(cascade.usage.calls)),
        ))
        .column(Column::figures(
            "TOKENS",
            0,
            column(&|cascade| grouped(cascade.usage.total_tokens)),
        ))
        .column(Column::figures(
            "COST",
            0,
            column(&|cascade| cascade.usage.cost()),
        ));
    let mut text = grid.render(width);
    if page.next.is_some() {
        text.push_str("There are older ones: see --limit.\n");
    }
    text
}

/// Everything of one conversation.
pub(super) fn details(details: &Details, width: usize) -> String {
    let mut text = head(details);
    if !details.runs.is_empty() {
        text.push('\n');
        text.push_str(&runs(&details.runs).render(width));
    }
    if !details.calls.is_empty() {
        text.push('\n');
        text.push_str(&calls(&details.calls, &details.cascade.usage).render(width));
    }
    text
}

fn head(details: &Details) -> String {
    let cascade = &details.cascade;
    let state = match cascade.running_since {
        Some(since) => format!("{} since {}", cascade.state, second(since)),
        None => cascade.state.clone(),
    };
    let model = match (&cascade.model, &cascade.display_name) {
        (Some(model), Some(name)) => format!("{name}, on the wire {model}"),
        (Some(model), None) => model.clone(),
        (None, _) => "no call was seen".to_owned(),
    };
    let mut lines = vec![
        ("cascade", cascade.id.clone()),
        ("state", state),
        ("model", model),
        ("started", second(cascade.started_at)),
        ("spent", spent(&cascade.usage)),
    ];
    if !details.steps.is_empty() {
        lines.push(("steps", steps(&details.steps)));
    }
    lines
        .into_iter()
        .fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<8}  {}", value.replace(char::is_control, "_"));
            text
        })
}

fn spent(usage: &Row) -> String {
    let cost = match (usage.cost_usd, usage.unpriced_calls) {
        (None, _) => "no price is known".to_owned(),
        (Some(usd), 0) => format!("{} at list prices", dollars(usd)),
        (Some(usd), some) => format!(
            "at least {} at list prices (calls without one: {some})",
            dollars(usd)
        ),
    };
    format!(
        "{} tokens in {} calls, {cost}",
        grouped(usage.total_tokens),
        grouped(usage.calls)
    )
}

/// Kinds and how often each ended well, with other ends in brackets.
fn steps(steps: &BTreeMap<String, BTreeMap<String, u64>>) -> String {
    let kinds = steps.iter().map(|(kind, ends)| {
        let count: u64 = ends.values().sum();
        let bad: Vec<String> = ends
            .iter()
            .filter(|(end, _)| *end != "done")
            .map(|(end, count)| format!("{count} {end}"))
            .collect();
        if bad.is_empty() {
            format!("{count} {kind}")
        } else {
            format!("{count} {kind} ({})", bad.join(", "))
        }
    });
    kinds.collect::<Vec<_>>().join(", ")
}

fn runs(runs: &[Run]) -> Grid {
    let column = |cell: fn(&Run) -> String| runs.iter().map(cell).collect::<Vec<_>>();
    Grid::new("RUN", column(|run| second(run.started_at)))
        .column(Column::words(
            "OUTCOME",
            0,
            column(|run| run.outcome.clone()),
        ))
        .column(Column::figures(
            "FIRST CHUNK",
            2,
            column(|run| maybe(run.time_to_first_chunk_seconds)),
        ))
        .column(Column::figures(
            "DURATION",
            0,
            column(|run| duration(run.duration_seconds)),
        ))
        .column(Column::figures(
            "CALLS",
            0,
            column(|run| grouped(run.calls)),
        ))
        .column(Column::figures(
            "TOKENS",
            0,
            column(|run| grouped(run.total_tokens)),
        ))
}

/// The calls that are kept; the last line is about all calls there were.
fn calls(calls: &[Call], all: &Row) -> Grid {
    let column = |cell: &dyn Fn(&Call) -> String, last: String| {
        calls.iter().map(cell).chain([last]).collect::<Vec<_>>()
    };
    let tokens = |kind: &'static str, all: u64| {
        column(
            &|call| {
                call.tokens
                    .get(kind)
                    .copied()
                    .flatten()
                    .map_or_else(String::new, grouped)
            },
            grouped(all),
        )
    };
    let none = String::new;
    Grid::new(
        "CALL",
        column(
            &|call| second(call.started_at),
            format!("all {}", grouped(all.calls)),
        ),
    )
    .with_total()
    .column(Column::words(
        "OPERATION",
        3,
        column(&|call| call.operation.clone(), none()),
    ))
    .column(Column::words(
        "MODEL",
        2,
        column(&|call| call.model.clone(), none()),
    ))
    .column(Column::words(
        "OUTCOME",
        0,
        column(&|call| call.outcome.clone(), none()),
    ))
    .column(Column::figures(
        "FIRST CHUNK",
        6,
        column(&|call| maybe(call.time_to_first_chunk_seconds), none()),
    ))
    .column(Column::figures(
        "DURATION",
        1,
        column(&|call| duration(call.duration_seconds), none()),
    ))
    .column(Column::figures(
        "INPUT",
        4,
        tokens("input", all.tokens("input")),
    ))
    .column(Column::figures(
        "CACHE READ",
        5,
        tokens("cache_read", all.tokens("cache_read")),
    ))
    .column(Column::figures(
        "OUTPUT",
        4,
        tokens("output", all.tokens("output")),
    ))
    .column(Column::figures(
        "THINKING",
        5,
        tokens("thinking", all.tokens("thinking")),
    ))
    .column(Column::figures(
        "TOTAL",
        0,
        column(
            &|call| grouped(call.total_tokens),
            grouped(all.total_tokens),
        ),
    ))
    .column(Column::figures("COST", 0, column(&cost, all.cost())))
}

/// Empty where there is nothing to pay for.
fn cost(call: &Call) -> String {
    let unknown = if call.total_tokens > 0 { "-" } else { "" };
    call.cost_usd.map_or_else(|| unknown.to_owned(), dollars)
}

/// The last run, unless another one is under way.
fn shown_run(cascade: &Cascade) -> Option<&Run> {
    cascade
        .last_run
        .as_ref()
        .filter(|_| cascade.running_since.is_none())
}

/// When the run began that is under way or was the last; the conversation's own beginning where no
/// run is known.
fn last_start(cascade: &Cascade) -> Timestamp {
    let last = cascade.last_run.as_ref().map(|run| run.started_at);
    cascade.running_since.or(last).unwrap_or(cascade.started_at)
}

fn second(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

fn maybe(seconds: Option<f64>) -> String {
    seconds.map(duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::export::tests::kit::{call, id, named, run};
    use crate::ledger::{CascadesQuery, Ledger};
    use crate::record::{
        Call as RecordedCall, Correlation, CorrelationMethod, Cost, Fact, RunStarted, Sink as _,
        StepEnded, StepKind, StepStatus,
    };

    const ID: &str = "179c837c-8253-4105-902c-d37299fc89d0";

    fn step(status: StepStatus) -> Fact {
        Fact::StepEnded(StepEnded {
            cascade: id(ID),
            step: StepKind::RunCommand,
            status,
        })
    }

    /// What a real ledger answers, read as this file reads it.
    fn ledger() -> Ledger {
        let ledger = Ledger::new(Timestamp::UNIX_EPOCH, Arc::default());
        let correlation = Correlation {
            cascade: Some(id(ID)),
            method: CorrelationMethod::RequestId,
        };
        let call = |number, cost| {
            Fact::Call(Box::new(RecordedCall {
                number,
                correlation: correlation.clone(),
                cost,
                ..call("m")
            }))
        };
        let started_at = UNIX_EPOCH + Duration::from_secs(1_790_000_060);
        let facts = [
            call(1, None),
            call(2, Some(Cost::from_nano_usd(12_340_000))),
            Fact::RunEnded(Box::new(run(ID, "m"))),
            Fact::ModelNamed(named("m", "Model M (High)")),
            Fact::RunStarted(RunStarted {
                cascade: id("running"),
                started_at,
            }),
            step(StepStatus::Done),
            step(StepStatus::Error),
        ];
        facts.iter().for_each(|fact| ledger.receive(fact));
        ledger
    }

    fn page(limit: usize) -> Page {
        let page = ledger().cascades(&CascadesQuery {
            state: None,
            limit,
            cursor: None,
        });
        serde_json::from_value(serde_json::to_value(page).unwrap()).unwrap()
    }

    #[test]
    fn conversations_are_listed_with_their_last_run() {
        let expected = "\
CASCADE                               STATE    STARTED               DURATION  OUTCOME  MODEL  RUNS  CALLS  TOKENS       COST
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
179c837c-8253-4105-902c-d37299fc89d0  idle     2026-09-21T14:13:20Z      10 s  ok       m         1      2     240  ≥ $0.0123
running                               running  2026-09-21T14:14:20Z                               0      0       0    $0.0000
";
        assert_eq!(list(&page(9), 160), expected);
        let narrow = list(&page(1), 80);
        assert!(
            narrow.starts_with("CASCADE ")
                && ["179c837c-825", "CALLS", "TOKENS", "COST", "≥ $0.0123"]
                    .iter()
                    .all(|shown| narrow.contains(shown))
                && narrow.ends_with("There are older ones: see --limit.\n"),
            "{narrow}"
        );
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 80),
            "{narrow}"
        );
        assert_eq!(
            list(
                &Page {
                    cascades: vec![],
                    next: None
                },
                80
            ),
            "No conversation is known yet.\n"
        );
    }

    #[test]
    fn one_conversation_is_shown_with_runs_and_calls() {
        let answer = serde_json::to_value(ledger().cascade(&id(ID))).unwrap();
        let expected = "\
cascade   179c837c-8253-4105-902c-d37299fc89d0
state     idle
model     Model M (High), on the wire m
started   2026-09-21T14:13:20Z
spent     240 tokens in 2 calls, at least $0.0123 at list prices (calls without one: 1)
steps     2 run_command (1 error)

RUN                   OUTCOME  FIRST CHUNK  DURATION  CALLS  TOKENS
───────────────────────────────────────────────────────────────────
2026-09-21T14:13:20Z  ok             2.0 s      10 s      3     360

CALL                  OPERATION  MODEL  OUTCOME  DURATION  INPUT  CACHE READ  OUTPUT  THINKING  TOTAL       COST
────────────────────────────────────────────────────────────────────────────────────────────────────────────────
2026-09-21T14:13:20Z  chat       m      ok          1.5 s     70          30      15         5    120    $0.0123
2026-09-21T14:13:20Z  chat       m      ok          1.5 s     70          30      15         5    120          -
────────────────────────────────────────────────────────────────────────────────────────────────────────────────
all 2                                                        140          60      30        10    240  ≥ $0.0123
";
        assert_eq!(
            details(&serde_json::from_value(answer).unwrap(), 120),
            expected
        );
    }

    #[test]
    fn what_comes_from_the_traffic_cannot_steer_the_terminal() {
        let mut answer = serde_json::to_value(ledger().cascade(&id(ID))).unwrap();
        answer["id"] = "\x1b[2J".into();
        answer["calls"][0]["outcome"] = "\x07".into();
        let text = details(&serde_json::from_value(answer).unwrap(), 110);
        assert!(!text.contains(['\x1b', '\x07']), "{text}");
    }
}
