//! The table of models, the one with the most tokens first.

use std::fmt::{self, Write as _};

use super::html::{Cells, END_TABLE, begin_table, cost, escaped, grouped, percent};
use super::marks::Marks;
use super::{View, empty};
use crate::ledger::Group;
use crate::record::Model;

pub(super) fn table(html: &mut String, view: &View<'_>) -> fmt::Result {
    let models = view.report.models.iter().flatten();
    if models.clone().next().is_none() {
        return empty::invitation(html, view.guide.as_ref());
    }
    let all = view.report.totals.total_tokens;
    write_table(html, models, all, Some("/v1/usage"), &view.marks)
}

/// Writes models with their figures; `all` are the tokens of which they have a share.
pub(super) fn write_table<'a>(
    html: &mut String,
    models: impl Iterator<Item = (&'a String, &'a Group)>,
    all: u64,
    json: Option<&str>,
    marks: &Marks,
) -> fmt::Result {
    let mut rows: Vec<_> = models.collect();
    rows.sort_by_key(|(_, group)| std::cmp::Reverse(group.usage.total_tokens));
    begin_table(html, "Models", json, &COLUMNS)?;
    for (name, group) in rows {
        row(html, name, group, all, marks)?;
    }
    html.write_str(END_TABLE)
}

fn row(html: &mut String, name: &str, group: &Group, all: u64, marks: &Marks) -> fmt::Result {
    let usage = &group.usage;
    let key = marks.get(&Model::from_wire(name)).key();
    let name = escaped(name);
    write!(
        html,
        "<tr><th scope=\"row\">{key}{name}<small>{}</small></th>",
        served_as(group)
    )?;
    let mut cells = Cells::new(html, &COLUMNS);
    let share = percent(usage.total_tokens, all);
    let width = u128::from(usage.total_tokens) * 100 / u128::from(all.max(1));
    cells.cell(
        "share",
        format_args!(
            "<meter max=\"100\" value=\"{width}\" aria-label=\"Share of {name}\">{share}</meter> {share}"
        ),
    )?;
    cells.cell("total", grouped(usage.total_tokens))?;
    cells.cell("", cost(usage))?;
    cells.figure(usage.calls)?;
    for (_, tokens) in usage.tokens.by_public_name() {
        cells.figure(tokens)?;
    }
    html.write_str("</tr>")
}

/// The provider of the model and its display name there.
fn served_as(group: &Group) -> String {
    match &group.display_name {
        Some(name) => format!("{} · {}", escaped(name.as_str()), group.provider),
        None => group.provider.to_string(),
    }
}

/// What matters most comes first: a narrow table is scrolled for the rest.
const COLUMNS: [&str; 11] = [
    "Model",
    "Share",
    "Total",
    "Cost",
    "Calls",
    "Input",
    "Cache read",
    "Cache write",
    "Tool input",
    "Output",
    "Thinking",
];
