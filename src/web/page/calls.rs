//! The table of the calls that ended last.

use std::fmt::{self, Write as _};

use super::{END_TABLE, NONE, View, begin_table, clock, dollars, escaped, grouped, seconds};
use crate::record::{Outcome, Quality};
use crate::web::cascades::path_of;
use crate::web::live::LastCall;

/// Writes nothing while no call has ended.
pub(super) fn table(html: &mut String, view: &View) -> fmt::Result {
    if view.live.calls.is_empty() {
        return Ok(());
    }
    begin_table(html, "Last calls", &COLUMNS)?;
    for call in view.live.calls.iter().take(SHOWN) {
        row(html, call)?;
    }
    html.write_str(END_TABLE)
}

fn row(html: &mut String, call: &LastCall) -> fmt::Result {
    let model = escaped(call.model.as_str());
    write!(
        html,
        "<tr><th scope=\"row\">{model}<small>{} · {}",
        call.provider, call.operation
    )?;
    if let Some(served) = &call.substituted_by {
        write!(html, " · answered by {}", escaped(served.as_str()))?;
    }
    html.push_str("</small></th>");
    write!(html, "<td>{}</td>", clock(call.ended_at))?;
    let class = if call.outcome == Outcome::Ok {
        "good"
    } else {
        "bad"
    };
    write!(
        html,
        "<td><span class=\"dot {class}\">{}</span></td>",
        call.outcome
    )?;
    // A figure that is only a lower bound is marked.
    let bound = if call.quality == Quality::Partial {
        "≥\u{202f}"
    } else {
        ""
    };
    for tokens in [
        call.input_tokens,
        call.cache_read_tokens,
        call.output_tokens,
    ] {
        match call.quality {
            Quality::Unknown => html.push_str(NONE),
            _ => write!(html, "<td>{bound}{}</td>", grouped(tokens))?,
        }
    }
    match call.first_chunk_seconds {
        Some(first) => write!(html, "<td>{}</td>", seconds(first))?,
        None => html.push_str(NONE),
    }
    write!(html, "<td>{}</td>", seconds(call.duration_seconds))?;
    match call.cost {
        Some(cost) => write!(html, "<td>{}</td>", dollars(cost))?,
        None => html.push_str(NONE),
    }
    match &call.cascade {
        Some(id) => write!(
            html,
            "<td><a href=\"{}\">{}</a></td></tr>",
            path_of(id),
            escaped(short(id.as_str()))
        ),
        None => write!(html, "{NONE}</tr>"),
    }
}

/// The beginning of an id distinguishes conversations; the link has the full id.
fn short(id: &str) -> &str {
    id.char_indices()
        .nth(8)
        .and_then(|(at, _)| id.get(..at))
        .unwrap_or(id)
}

/// As many as are worth a look beside everything else.
const SHOWN: usize = 12;

const COLUMNS: [&str; 10] = [
    "Model",
    "Ended (UTC)",
    "Outcome",
    "Input",
    "Cached",
    "Output",
    "First chunk",
    "Duration",
    "Cost",
    "Conversation",
];
