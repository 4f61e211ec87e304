//! The page of a conversation: its figures, models, subagents, runs and calls.

use std::fmt::{self, Write as _};

use super::{Page, calls_table, facts, text};
use crate::ledger::{CascadeDetails, SubagentUsage};
use crate::record::TokenKind;
use crate::web::page::cascades::name;
use crate::web::page::html::{Cells, END_TABLE, begin_table, cost, escaped, grouped, seconds};
use crate::web::page::models;

pub(super) fn page(page: &Page<'_>, found: &CascadeDetails) -> Result<String, fmt::Error> {
    let mut html = String::new();
    let cascade = &found.cascade;
    let title = escaped(&name(page.reader, cascade, page.now));
    page.begin(&mut html, "conversation", &title)?;
    let running = cascade.running_since.map(|since| page.time(since));
    let state = running.map_or("idle".to_owned(), |since| format!("running since {since}"));
    let usage = &cascade.usage;
    facts(
        &mut html,
        &[
            ("Id", text(Some(&cascade.id))),
            ("Repository", text(cascade.repository.as_ref())),
            ("First model", text(cascade.first_model.as_ref())),
            ("State", Some(state)),
            ("Began", Some(page.time(cascade.started_at))),
            ("Last active", Some(page.time(cascade.last_active_at))),
            ("Runs that have ended", Some(grouped(cascade.runs_ended))),
            ("Calls", Some(grouped(usage.calls))),
            ("Tokens", Some(grouped(usage.total_tokens))),
            ("Input", Some(grouped(usage.tokens.sum(TokenKind::INPUT)))),
            ("Output", Some(grouped(usage.tokens.sum(TokenKind::OUTPUT)))),
            ("Cost", Some(cost(usage))),
        ],
    )?;
    if !found.models.is_empty() {
        models::write_table(
            &mut html,
            found.models.iter(),
            usage.total_tokens,
            None,
            &page.marks,
        )?;
    }
    subagents(&mut html, &found.subagents)?;
    runs(&mut html, page, found)?;
    calls_table::table(&mut html, page, &found.calls, usage.calls)?;
    Ok(html)
}

fn subagents(html: &mut String, subagents: &[SubagentUsage]) -> fmt::Result {
    if subagents.is_empty() {
        return Ok(());
    }
    let columns = ["Subagent", "Model", "Tokens", "Cost", "Calls"];
    begin_table(html, "Subagents", None, &columns)?;
    for subagent in subagents {
        let kind = subagent.subagent_kind.as_ref().map(|kind| kind.as_str());
        write!(
            html,
            "<tr><th scope=\"row\" title=\"{}\">{}</th>",
            escaped(subagent.subagent.as_str()),
            escaped(kind.unwrap_or(subagent.subagent.as_str()))
        )?;
        let mut cells = Cells::new(html, &columns);
        cells.known(text(subagent.model.as_ref()))?;
        cells.cell("total", grouped(subagent.usage.total_tokens))?;
        cells.cell("", cost(&subagent.usage))?;
        cells.figure(subagent.usage.calls)?;
        html.push_str("</tr>");
    }
    html.write_str(END_TABLE)
}

fn runs(html: &mut String, page: &Page<'_>, found: &CascadeDetails) -> fmt::Result {
    if found.runs.is_empty() {
        return Ok(());
    }
    let began = format!("Began ({})", page.reader.zone_at(page.now));
    let columns = [
        &*began,
        "Outcome",
        "Duration",
        "First chunk",
        "Tokens",
        "Calls",
        "Model",
    ];
    begin_table(html, "Newest runs", None, &columns)?;
    for run in &found.runs {
        let time = page.reader.time(run.started_at, page.now);
        write!(html, "<tr><th scope=\"row\">{time}</th>")?;
        let mut cells = Cells::new(html, &columns);
        cells.cell("", run.outcome)?;
        cells.cell("", seconds(run.duration_seconds))?;
        cells.known(run.time_to_first_chunk_seconds.map(seconds))?;
        cells.figure(run.total_tokens)?;
        cells.figure(run.calls)?;
        cells.cell("", escaped(run.model.as_str()))?;
        html.push_str("</tr>");
    }
    html.write_str(END_TABLE)
}
