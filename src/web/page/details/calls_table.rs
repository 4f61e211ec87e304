//! The calls of a conversation that are kept with their details.

use std::fmt::{self, Write as _};

use super::Page;
use crate::ledger::CallRecord;
use crate::record::TokenKind;
use crate::web::page::calls::{call_link, outcome, tokens_of};
use crate::web::page::html::{Cells, END_TABLE, begin_table, dollars, grouped, seconds};

/// `all` is how many calls the conversation has had.
pub(super) fn table(
    html: &mut String,
    page: &Page<'_>,
    calls: &[CallRecord],
    all: u64,
) -> fmt::Result {
    if calls.is_empty() {
        return Ok(());
    }
    let began = format!("Began ({})", page.reader.zone_at(page.now));
    let columns = [
        "Call",
        &began,
        "Outcome",
        "Cost",
        "Tokens",
        "Input",
        "Output",
        "First chunk",
        "Duration",
    ];
    let kept = u64::try_from(calls.len()).unwrap_or(u64::MAX);
    begin_table(html, "Newest calls", None, &columns)?;
    for call in calls {
        write!(
            html,
            "<tr><th scope=\"row\">{}<small>{} · {}</small></th>",
            call_link(page.reader, &page.marks, call.id, &call.model),
            call.provider,
            call.operation
        )?;
        figures(&mut Cells::new(html, &columns), page, call)?;
        html.push_str("</tr>");
    }
    html.push_str(END_TABLE);
    if kept < all {
        let rest = grouped(all - kept);
        write!(
            html,
            "<p class=\"note\">Of {rest} earlier calls only the sums are kept here.</p>"
        )?;
    }
    Ok(())
}

fn figures(cells: &mut Cells<'_>, page: &Page<'_>, call: &CallRecord) -> fmt::Result {
    cells.cell("", page.reader.time(call.started_at, page.now))?;
    cells.cell("", outcome(call.outcome))?;
    cells.known(call.cost.map(dollars))?;
    let counts = call.tokens.counts();
    for tokens in [
        call.total_tokens,
        counts.sum(TokenKind::INPUT),
        counts.sum(TokenKind::OUTPUT),
    ] {
        cells.known(tokens_of(tokens, call.quality))?;
    }
    cells.known(call.time_to_first_chunk_seconds.map(seconds))?;
    cells.cell("", seconds(call.duration_seconds))
}
