//! The sums of subagents over a span of time, from the rows of calls: no roll-up has them.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::columns::{FIGURES, FIGURES_OF_A_CALL, TOTALS};
use super::query::{served, sums};
use super::span::{Range, Span};
use crate::ledger::memory::sums::ByModel;
use crate::record::{Id, Models};

/// The calls of one subagent.
#[derive(Debug)]
pub(in crate::ledger) struct FoundSubagent {
    pub(in crate::ledger) cascade: Id,
    pub(in crate::ledger) subagent: Id,
    /// The subagent that has started it; `None` where the main agent has.
    pub(in crate::ledger) parent: Option<Id>,
    /// What kind it is, in the agent's own word.
    pub(in crate::ledger) kind: Option<Id>,
    pub(in crate::ledger) sums: ByModel,
}

/// Those that called last in the span, as far as their calls are kept.
pub(in crate::ledger) fn subagents(
    connection: &Connection,
    span: &Span,
    models: &Models,
) -> rusqlite::Result<Vec<FoundSubagent>> {
    let mut found = Vec::<FoundSubagent>::new();
    let newest = newest(connection, span.whole())?;
    let (figures, of_a_call, totals) = (&*FIGURES, &*FIGURES_OF_A_CALL, &*TOTALS);
    let sql = format!(
        "WITH newest AS (SELECT value ->> 0, value ->> 1 FROM json_each(?3)), \
         own (cascade, subagent, parent_subagent, subagent_kind, provider, model, outcome, quality, {figures}) AS \
         (SELECT cascade, subagent, parent_subagent, subagent_kind, provider, coalesce(counted_as, model), outcome, quality, {of_a_call} \
         FROM calls WHERE subagent IS NOT NULL AND ended_at >= ?1 AND ended_at < ?2 AND (cascade, subagent) IN newest) \
         SELECT cascade, subagent, max(parent_subagent), max(subagent_kind), provider, model, outcome, quality, {totals} FROM own \
         GROUP BY 1, 2, provider, model, outcome, quality ORDER BY 1, 2"
    );
    let mut select = connection.prepare(&sql)?;
    let (from, to) = span.whole();
    let values = [Value::from(from), Value::from(to), newest.into()];
    let mut rows = select.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let names = id(row, 0)?.zip(id(row, 1)?);
        let figures = served(row, 4, models)?.zip(sums(row, 6)?);
        let Some(((cascade, subagent), (served, sums))) = names.zip(figures) else {
            continue;
        };
        let (parent, kind) = (id(row, 2)?, id(row, 3)?);
        let is_known =
            |known: &FoundSubagent| (&known.cascade, &known.subagent) == (&cascade, &subagent);
        if !found.last().is_some_and(is_known) {
            found.push(FoundSubagent {
                cascade,
                subagent,
                parent: None,
                kind: None,
                sums: ByModel::default(),
            });
        }
        if let Some(known) = found.last_mut() {
            known.sums.add(&served, &sums);
            known.parent = known.parent.take().or(parent);
            known.kind = known.kind.take().or(kind);
        }
    }
    Ok(found)
}

/// A JSON array of pairs of conversation and subagent.
fn newest(connection: &Connection, span: Range) -> rusqlite::Result<String> {
    let mut select = connection.prepare(
        "SELECT cascade, subagent FROM calls WHERE subagent IS NOT NULL AND cascade IS NOT NULL \
         AND ended_at >= ?1 AND ended_at < ?2 ORDER BY ended_at DESC",
    )?;
    let mut rows = select.query(span)?;
    let mut newest = BTreeSet::<(String, String)>::new();
    while newest.len() < MAX_SUBAGENTS
        && let Some(row) = rows.next()?
    {
        newest.insert((row.get(0)?, row.get(1)?));
    }
    Ok(serde_json::json!(newest).to_string())
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Id>> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()?
        .and_then(Id::from_wire))
}

/// As many as conversations are listed; all others are counted in the remaining group.
const MAX_SUBAGENTS: usize = 1000;
