//! The table of conversations: those that the agent works on, then those it worked on last.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::{END_TABLE, NONE, begin_table, clock, escaped, grouped, seconds};
use crate::ledger::{Cascade, CascadesQuery, Ledger, Run, State};
use crate::web::cascades::path_of;

/// The conversations that the page has room for.
pub(super) fn recent(ledger: &Ledger) -> Vec<Cascade> {
    let of_state = |state| {
        ledger
            .cascades(&CascadesQuery {
                state: Some(state),
                limit: ROWS,
                cursor: None,
            })
            .cascades
    };
    let mut cascades = of_state(State::Running);
    cascades.extend(of_state(State::Idle));
    cascades.truncate(ROWS);
    cascades
}

/// Writes nothing while no conversation is known.
pub(super) fn table(html: &mut String, cascades: &[Cascade], now: Timestamp) -> fmt::Result {
    if cascades.is_empty() {
        return Ok(());
    }
    begin_table(html, "Conversations", &COLUMNS)?;
    for cascade in cascades {
        row(html, cascade, now)?;
    }
    html.write_str(END_TABLE)
}

fn row(html: &mut String, cascade: &Cascade, now: Timestamp) -> fmt::Result {
    let (path, id) = (path_of(&cascade.id), escaped(cascade.id.as_str()));
    write!(
        html,
        "<tr><th scope=\"row\"><a href=\"{path}\">{id}</a><small>{}</small></th>",
        model(cascade)
    )?;
    match cascade.running_since {
        None => html.push_str("<td class=\"zero\">idle</td>"),
        Some(since) => {
            let elapsed = now.duration_since(since).as_secs().max(0);
            write!(
                html,
                "<td><span class=\"dot good\">running {}:{:02}</span></td>",
                elapsed / 60,
                elapsed % 60
            )?;
        }
    }
    write!(html, "<td>{}</td>", clock(cascade.last_active_at))?;
    write!(html, "<td>{}</td>", grouped(cascade.runs_ended))?;
    match &cascade.last_run {
        Some(run) => last_run(html, run)?,
        None => write!(html, "{NONE}{NONE}")?,
    }
    let usage = &cascade.usage;
    write!(
        html,
        "<td>{}</td><td class=\"total\">{}</td></tr>",
        grouped(usage.calls),
        grouped(usage.total_tokens)
    )
}

fn last_run(html: &mut String, run: &Run) -> fmt::Result {
    write!(
        html,
        "<td>{} {}</td>",
        seconds(run.duration_seconds),
        run.outcome
    )?;
    match run.time_to_first_chunk_seconds {
        Some(first) => write!(html, "<td>{}</td>", seconds(first)),
        None => html.write_str(NONE),
    }
}

/// The display name where there is one, that of the wire otherwise.
fn model(cascade: &Cascade) -> String {
    let named = cascade.display_name.as_ref().map(|name| name.as_str());
    escaped(
        named
            .or(cascade.model.as_ref().map(|model| model.as_str()))
            .unwrap_or("no call yet"),
    )
}

/// Most rows; the rest is at `/v1/cascades`.
const ROWS: usize = 10;

const COLUMNS: [&str; 8] = [
    "Conversation",
    "State",
    "Last active (UTC)",
    "Runs",
    "Last run",
    "First chunk",
    "Calls",
    "Tokens",
];
