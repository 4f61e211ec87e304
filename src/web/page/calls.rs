//! The table of the calls that ended last.

use std::fmt::{self, Write as _};

use super::cascades::link;
use super::html::{Cells, END_TABLE, begin_table, dollars, escaped, grouped, seconds};
use super::marks::Marks;
use super::{Reader, View};
use crate::ledger::{CallId, Cascade};
use crate::record::{Model, Outcome, Quality};
use crate::web::live::LastCall;

/// Writes nothing while no call has ended.
pub(super) fn table(html: &mut String, view: &View<'_>) -> fmt::Result {
    if view.live.calls.is_empty() {
        return Ok(());
    }
    let ended = format!("Ended ({})", view.reader.zone_at(view.now));
    let columns = [
        "Call",
        &ended,
        "Outcome",
        "Cost",
        "Input",
        "Cached",
        "Output",
        "First chunk",
        "Duration",
    ];
    begin_table(html, "Last calls", Some("/v1/live"), &columns)?;
    for (call, cascade) in view.live.calls.iter().zip(&view.cascades_of_calls) {
        title(html, view, call, cascade.as_ref())?;
        figures(&mut Cells::new(html, &columns), view, call)?;
        html.push_str("</tr>");
    }
    html.write_str(END_TABLE)
}

/// Begins the row with what was called, by which conversation.
fn title(
    html: &mut String,
    view: &View<'_>,
    call: &LastCall,
    cascade: Option<&Cascade>,
) -> fmt::Result {
    write!(
        html,
        "<tr><th scope=\"row\">{}<small>{} · {}",
        call_link(view.reader, &view.marks, call.id, &call.model),
        call.provider,
        call.operation
    )?;
    if let Some(served) = &call.substituted_by {
        write!(html, " · answered by {}", escaped(served.as_str()))?;
    }
    match (cascade, &call.cascade) {
        (Some(cascade), _) => {
            let name = view.names.get(cascade);
            let link = link(view.reader, &cascade.id, name);
            write!(html, "<span class=\"of\">{link}</span>")?;
        }
        // It is known, but not kept any more.
        (None, Some(id)) => {
            let id = escaped(id.as_str());
            write!(html, "<span class=\"of\">{id}</span>")?;
        }
        (None, None) => {}
    }
    html.write_str("</small></th>")
}

fn figures(cells: &mut Cells<'_>, view: &View<'_>, call: &LastCall) -> fmt::Result {
    cells.cell("", view.reader.time(call.ended_at, view.now))?;
    cells.cell("", outcome(call.outcome))?;
    cells.known(call.cost.map(dollars))?;
    for tokens in [
        call.input_tokens,
        call.cache_read_tokens,
        call.output_tokens,
    ] {
        cells.known(tokens_of(tokens, call.quality))?;
    }
    cells.known(call.first_chunk_seconds.map(seconds))?;
    cells.cell("", seconds(call.duration_seconds))
}

/// The mark and name of the model, as a link to the page of the call.
pub(super) fn call_link(reader: &Reader, marks: &Marks, id: CallId, model: &Model) -> String {
    format!(
        "{}<a href=\"{}\" title=\"call {id}\">{}</a>",
        marks.get(model).key(),
        reader.link(&format!("/calls/{id}")),
        escaped(model.as_str())
    )
}

/// Tokens as far as they can be trusted: a lower bound is marked, and `None` where none were seen.
pub(super) fn tokens_of(tokens: u64, quality: Quality) -> Option<String> {
    match quality {
        Quality::Exact => Some(grouped(tokens)),
        Quality::Partial => Some(format!("≥\u{202f}{}", grouped(tokens))),
        Quality::Unknown => None,
    }
}

/// How a call ended.
pub(super) fn outcome(outcome: Outcome) -> String {
    let class = if outcome == Outcome::Ok {
        "good"
    } else {
        "bad"
    };
    format!("<span class=\"dot {class}\">{outcome}</span>")
}

/// As many as are worth a look beside everything else.
pub(super) const SHOWN: usize = 12;
