//! The table of conversations: those that the agent works on, then those it worked on last.

use std::fmt::{self, Write as _};

use jiff::{Timestamp, Unit};

use super::{escaped, grouped};
use crate::ledger::{Cascade, CascadesQuery, Ledger, Run, State};
use crate::web::cascades::path_of;

/// The conversations that the page has room for.
pub(super) fn recent(ledger: &Ledger) -> Vec<Cascade> {
    let of_state = |state| ledger.cascades(&CascadesQuery { state: Some(state), limit: ROWS, cursor: None }).cascades;
    let mut cascades = of_state(State::Running);
    cascades.extend(of_state(State::Idle));
    cascades.truncate(ROWS);
    cascades
}

/// Nothing at all while no conversation is known.
pub(super) fn table(html: &mut String, cascades: &[Cascade]) -> fmt::Result {
    if cascades.is_empty() {
        return Ok(());
    }
    html.push_str(TABLE_HEAD);
    for cascade in cascades {
        row(html, cascade)?;
    }
    html.push_str("</tbody></table></div>");
    Ok(())
}

fn row(html: &mut String, cascade: &Cascade) -> fmt::Result {
    let (path, id) = (path_of(&cascade.id), escaped(cascade.id.as_str()));
    write!(html, "<tr><th scope=\"row\"><a href=\"{path}\">{id}</a><small>{}</small></th>", model(cascade))?;
    match cascade.state {
        State::Idle => html.push_str("<td class=\"zero\">idle</td>"),
        State::Running => html.push_str("<td><span class=\"dot good\">running</span></td>"),
    }
    write!(html, "<td><time>{}</time></td>", second(cascade.last_active_at))?;
    write!(html, "<td>{}</td>", grouped(cascade.runs_ended))?;
    match &cascade.last_run {
        Some(run) => last_run(html, run)?,
        None => html.push_str("<td class=\"zero\">–</td><td class=\"zero\">–</td>"),
    }
    let usage = &cascade.usage;
    write!(html, "<td>{}</td><td class=\"total\">{}</td></tr>", grouped(usage.calls), grouped(usage.total_tokens))
}

fn last_run(html: &mut String, run: &Run) -> fmt::Result {
    write!(html, "<td>{:.1} s {}</td>", run.duration_seconds, run.outcome)?;
    match run.time_to_first_chunk_seconds {
        Some(first) => write!(html, "<td>{first:.1} s</td>"),
        None => write!(html, "<td class=\"zero\">–</td>"),
    }
}

/// The name for people where there is one, that of the wire otherwise.
fn model(cascade: &Cascade) -> String {
    let named = cascade.display_name.as_ref().map(|name| name.as_str());
    escaped(named.or(cascade.model.as_ref().map(|model| model.as_str())).unwrap_or("no call yet"))
}

fn second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

/// As many as are worth a look; the rest is at `/v1/cascades`.
const ROWS: usize = 10;

const TABLE_HEAD: &str = "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Conversation</th><th scope=\"col\">State</th>\
    <th scope=\"col\">Last active</th><th scope=\"col\">Runs</th><th scope=\"col\">Last run</th>\
    <th scope=\"col\">First chunk</th><th scope=\"col\">Calls</th><th scope=\"col\">Tokens</th></tr></thead><tbody>";
