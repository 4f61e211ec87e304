//! The sums of calls by the rules that changed their requests, from the rows of calls: no roll-up has
//! them.

use rusqlite::Connection;

use super::columns::{FIGURES, FIGURES_OF_A_CALL, TOTALS};
use super::query::{served, sums};
use super::span::Span;
use crate::ledger::memory::sums::ByModel;
use crate::record::{AppliedRules, Models, RuleName};

/// The calls whose requests were changed by the same rules.
#[derive(Debug)]
pub(in crate::ledger) struct FoundRules {
    /// The rules in the order in which they were applied.
    pub(in crate::ledger) rules: Vec<RuleName>,
    pub(in crate::ledger) sums: ByModel,
}

/// Those of the span, as far as their calls are kept. A person writes few rules, and few of them
/// together: their number needs no limit.
pub(in crate::ledger) fn rules(
    connection: &Connection,
    span: &Span,
    models: &Models,
) -> rusqlite::Result<Vec<FoundRules>> {
    let (figures, of_a_call, totals) = (&*FIGURES, &*FIGURES_OF_A_CALL, &*TOTALS);
    let sql = format!(
        "WITH own (rules, provider, model, outcome, quality, {figures}) AS \
         (SELECT rules, provider, coalesce(counted_as, model), outcome, quality, {of_a_call} \
         FROM calls WHERE rules IS NOT NULL AND ended_at >= ?1 AND ended_at < ?2) \
         SELECT rules, provider, model, outcome, quality, {totals} FROM own \
         GROUP BY rules, provider, model, outcome, quality ORDER BY rules"
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(span.whole())?;
    let mut found = Vec::<FoundRules>::new();
    while let Some(row) = rows.next()? {
        let names = AppliedRules::parse(row.get_ref(0)?.as_str()?, None).map(|rules| rules.names);
        let figures = served(row, 1, models)?.zip(sums(row, 3)?);
        let Some((rules, (served, sums))) = names.zip(figures) else {
            continue;
        };
        if found.last().is_none_or(|known| known.rules != rules) {
            found.push(FoundRules {
                rules,
                sums: ByModel::default(),
            });
        }
        if let Some(known) = found.last_mut() {
            known.sums.add(&served, &sums);
        }
    }
    Ok(found)
}
