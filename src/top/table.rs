//! The rows of each view as text in columns, and all figures of one of them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::answers::{Call, Conversation, Session};
use super::state::{State, View};
use crate::term::figures::{dollars, duration, grouped};
use crate::term::grid::{Column, Grid};
use crate::term::table::Row;

/// How a row stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It goes on now.
    Active,
    /// It has failed.
    Failed,
    /// It is as usual.
    Usual,
}

/// The rows of the open view: a head, and a line with its tone for each.
pub(super) struct Table {
    pub(super) head: String,
    pub(super) rows: Vec<(String, Tone)>,
}

impl Table {
    /// At most `width` columns wide, where that can be.
    pub(super) fn new(state: &State, width: usize, now: Timestamp) -> Self {
        let time = |at| time_of_day(at, now, &state.zone);
        let (text, tones): (String, Vec<Tone>) = match state.view {
            View::Calls => {
                let rows = state.calls();
                (
                    calls(&rows, time).render(width),
                    rows.iter().map(|call| tone_of_call(call)).collect(),
                )
            }
            View::Sessions => {
                let rows = state.sessions();
                let tones = rows.iter().map(|of| tone_of_session(of)).collect();
                (sessions(&rows, time).render(width), tones)
            }
            View::Conversations => {
                let rows = state.conversations();
                let tones = rows.iter().map(|of| tone_of_conversation(of)).collect();
                (conversations(&rows, time).render(width), tones)
            }
        };
        // The second line is a rule.
        let mut lines = text.lines().map(str::to_owned);
        let head = lines.next().unwrap_or_default();
        Self {
            head,
            rows: lines.skip(1).zip(tones).collect(),
        }
    }
}

fn tone_of_call(call: &Call) -> Tone {
    if call.outcome == "ok" {
        Tone::Usual
    } else {
        Tone::Failed
    }
}

fn tone_of_conversation(of: &Conversation) -> Tone {
    if of.running_since.is_some() {
        Tone::Active
    } else {
        Tone::Usual
    }
}

fn tone_of_session(of: &Session) -> Tone {
    if of.state == "running" {
        Tone::Active
    } else {
        Tone::Usual
    }
}

fn calls(rows: &[&Call], time: impl Fn(Timestamp) -> String) -> Grid {
    let column =
        |cell: &dyn Fn(&Call) -> String| rows.iter().map(|call| cell(call)).collect::<Vec<_>>();
    Grid::new("MODEL", column(&|call| call.model.clone()))
        .column(Column::words(
            "ENDED",
            0,
            column(&|call| time(call.ended_at)),
        ))
        .column(Column::words(
            "OUTCOME",
            0,
            column(&|call| call.outcome.clone()),
        ))
        .column(Column::words(
            "PROVIDER",
            6,
            column(&|call| call.provider.clone()),
        ))
        .column(Column::words(
            "OPERATION",
            5,
            column(&|call| call.operation.clone()),
        ))
        .column(Column::figures(
            "INPUT",
            3,
            column(&|call| call.shown_tokens(call.input_tokens)),
        ))
        .column(Column::figures(
            "CACHED",
            4,
            column(&|call| call.shown_tokens(call.cache_read_tokens)),
        ))
        .column(Column::figures(
            "OUTPUT",
            3,
            column(&|call| call.shown_tokens(call.output_tokens)),
        ))
        .column(Column::figures(
            "TOKENS",
            0,
            column(&|call| call.shown_tokens(call.tokens())),
        ))
        .column(Column::figures(
            "FIRST CHUNK",
            2,
            column(&|call| maybe(call.time_to_first_chunk_seconds)),
        ))
        .column(Column::figures(
            "TIME",
            1,
            column(&|call| duration(call.duration_seconds)),
        ))
        .column(Column::figures("COST", 0, column(&Call::shown_cost)))
        .column(Column::words(
            "CONVERSATION",
            7,
            column(&|call| short(call.cascade.as_deref())),
        ))
}

fn conversations(rows: &[&Conversation], time: impl Fn(Timestamp) -> String) -> Grid {
    let column =
        |cell: &dyn Fn(&Conversation) -> String| rows.iter().map(|of| cell(of)).collect::<Vec<_>>();
    Grid::new("MODEL", column(&Conversation::name))
        .column(Column::words("STATE", 0, column(&|of| of.state.clone())))
        .column(Column::words(
            "ACTIVE",
            0,
            column(&|of| time(of.last_active_at)),
        ))
        .column(Column::words(
            "STARTED",
            3,
            column(&|of| time(of.started_at)),
        ))
        .column(Column::figures(
            "RUNS",
            2,
            column(&|of| grouped(of.runs_ended)),
        ))
        .column(Column::figures(
            "CALLS",
            0,
            column(&|of| grouped(of.usage.calls)),
        ))
        .column(Column::figures(
            "TOKENS",
            0,
            column(&|of| grouped(of.usage.total_tokens)),
        ))
        .column(Column::figures("COST", 0, column(&|of| of.usage.cost())))
        .column(Column::words("ID", 4, column(&|of| short(Some(&of.id)))))
}

fn sessions(rows: &[&Session], time: impl Fn(Timestamp) -> String) -> Grid {
    let column =
        |cell: &dyn Fn(&Session) -> String| rows.iter().map(|of| cell(of)).collect::<Vec<_>>();
    let repository = |of: &Session| known(of.repository.as_ref());
    let branch = |of: &Session| known(of.branch.as_ref());
    let usage = |cell: fn(&Row) -> String| column(&|of| cell(&of.usage));
    Grid::new("REPOSITORY", column(&repository))
        .column(Column::words(
            "PROGRAM",
            1,
            column(&|of| of.program.clone()),
        ))
        .column(Column::words("STATE", 2, column(&|of| of.state.clone())))
        .column(Column::words(
            "STARTED",
            3,
            column(&|of| time(of.started_at)),
        ))
        .column(Column::words("BRANCH", 4, column(&branch)))
        .column(Column::figures("CALLS", 0, usage(|row| grouped(row.calls))))
        .column(Column::figures(
            "TOKENS",
            0,
            usage(|row| grouped(row.total_tokens)),
        ))
        .column(Column::figures("COST", 0, usage(Row::cost)))
}

fn known(name: Option<&String>) -> String {
    name.cloned().unwrap_or_else(|| "-".to_owned())
}

/// All figures of the chosen row, as names and values; empty where there is no row.
pub(super) fn details(state: &State, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = |at| time_of_day(at, now, &state.zone);
    let place = state.selected();
    let fields = match state.view {
        View::Calls => state.calls().get(place).map(|call| of_call(call, time)),
        View::Sessions => {
            let rows = state.sessions();
            rows.get(place).map(|of| of_session(of, time))
        }
        View::Conversations => {
            let rows = state.conversations();
            rows.get(place).map(|of| of_conversation(of, time))
        }
    };
    let printable = |(name, value): (_, String)| (name, value.replace(char::is_control, "_"));
    fields.into_iter().flatten().map(printable).collect()
}

fn of_call(call: &Call, time: impl Fn(Timestamp) -> String) -> Vec<(&'static str, String)> {
    let served = call.served_model.as_ref();
    vec![
        ("model", call.model.clone()),
        ("answered by", served.unwrap_or(&call.model).clone()),
        ("provider", call.provider.clone()),
        ("operation", call.operation.clone()),
        ("ended", time(call.ended_at)),
        ("outcome", call.outcome.clone()),
        ("input", call.shown_tokens(call.input_tokens)),
        ("from cache", call.shown_tokens(call.cache_read_tokens)),
        ("output", call.shown_tokens(call.output_tokens)),
        ("tokens are", call.quality.clone()),
        ("first chunk", maybe(call.time_to_first_chunk_seconds)),
        ("duration", duration(call.duration_seconds)),
        ("cost", call.shown_cost()),
        (
            "conversation",
            call.cascade
                .clone()
                .unwrap_or_else(|| "not known".to_owned()),
        ),
    ]
}

fn of_conversation(
    of: &Conversation,
    time: impl Fn(Timestamp) -> String,
) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("id", of.id.clone()),
        ("model", of.name()),
        ("state", of.state.clone()),
        ("started", time(of.started_at)),
        ("active", time(of.last_active_at)),
        ("runs", grouped(of.runs_ended)),
    ];
    fields.extend(of.running_since.map(|at| ("running since", time(at))));
    fields.extend(of.last_run.as_ref().map(|run| {
        let text = format!(
            "{}, {}, {}",
            time(run.started_at),
            duration(run.duration_seconds),
            run.outcome
        );
        ("last run", text)
    }));
    fields.extend(figures(&of.usage));
    fields
}

fn of_session(of: &Session, time: impl Fn(Timestamp) -> String) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("id", of.id.clone()),
        ("program", of.program.clone()),
        ("repository", known(of.repository.as_ref())),
        ("branch", known(of.branch.as_ref())),
        ("state", of.state.clone()),
        ("started", time(of.started_at)),
    ];
    fields.extend(of.ended_at.map(|at| ("ended", time(at))));
    fields.extend(figures(&of.usage));
    fields
}

fn figures(usage: &Row) -> [(&'static str, String); 8] {
    let tokens = |kind| grouped(usage.tokens(kind));
    [
        ("calls", grouped(usage.calls)),
        ("tokens", grouped(usage.total_tokens)),
        ("input", tokens("input")),
        ("cache read", tokens("cache_read")),
        ("cache write", tokens("cache_write")),
        ("output", tokens("output")),
        ("thinking", tokens("thinking")),
        ("cost", usage.cost()),
    ]
}

impl Call {
    /// Input and output together.
    pub(super) fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// A count of its tokens; `≥` before it where it is a lower bound, `-` where none is known.
    fn shown_tokens(&self, tokens: u64) -> String {
        match self.quality.as_str() {
            "unknown" => "-".to_owned(),
            "partial" => format!("≥ {}", grouped(tokens)),
            _ => grouped(tokens),
        }
    }

    fn shown_cost(&self) -> String {
        self.cost_usd.map_or_else(|| "-".to_owned(), dollars)
    }
}

impl Conversation {
    /// What it is called: its model, as people call that where the agent has said it.
    pub(super) fn name(&self) -> String {
        let name = self.display_name.as_ref().or(self.model.as_ref());
        name.cloned()
            .unwrap_or_else(|| "no call was seen".to_owned())
    }
}

/// The beginning of an id, which tells conversations apart.
fn short(id: Option<&str>) -> String {
    id.unwrap_or_default().chars().take(8).collect()
}

/// The time of day where it is of today, else the date.
pub(super) fn time_of_day(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (
        at.to_zoned_datetime(zone.clone()),
        now.to_zoned_datetime(zone.clone()),
    );
    if at.date() == now.date() {
        at.strftime("%H:%M:%S").to_string()
    } else {
        at.strftime("%Y-%m-%d").to_string()
    }
}

fn maybe(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), duration)
}
