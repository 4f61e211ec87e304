//! What was spent since a time, apart by what budgets are kept by.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::columns::{FIGURES, FIGURES_OF_A_CALL, TOTALS};
use super::query::{ENDS, bounds};
use super::span::Span;
use crate::ledger::memory::figures::Figures;
use crate::record::{
    Id, Label as _, Model, Models, ProgramName, Provider, RepositoryName, SessionId, Subject,
    SubjectTotals, TokenKind,
};

/// What the sums are kept apart by, beside provider and model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpentBy {
    /// By program and repository: sums are kept for good.
    Caller,
    /// By nothing more: sums are kept for good.
    Model,
    /// By session, program, repository and subagent, from the calls that are kept.
    Session,
    /// The same, of the sessions that have not ended. The time does not matter to them.
    OpenSessions,
}

/// Sums up a span; of what the sums are not kept apart by, nothing is said.
pub(in crate::ledger) fn spent(
    connection: &Connection,
    span: &Span,
    by: SpentBy,
    models: &Models,
) -> rusqlite::Result<Vec<SubjectTotals>> {
    let (figures, totals, source) = (&*FIGURES, &*TOTALS, source(by));
    let sql = format!(
        "WITH own (provider, model, program, repository, session, subagent, {figures}) AS ({source}) \
         SELECT provider, model, program, repository, session, subagent, {totals} FROM own GROUP BY 1, 2, 3, 4, 5, 6"
    );
    let mut select = connection.prepare(&sql)?;
    let values = bounds(span).map(Value::from);
    let count = select.parameter_count();
    let mut rows = select.query(params_from_iter(values.into_iter().take(count)))?;
    let mut spent = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(subject) = subject(row, models)? {
            let figures = Figures::read(row, 6)?;
            spent.push(SubjectTotals {
                subject,
                calls: figures.calls,
                tokens: TokenKind::ALL
                    .iter()
                    .fold(0, |sum, kind| figures.tokens[*kind].saturating_add(sum)),
                cost: figures.cost,
                unpriced_calls: figures.unpriced_calls,
            });
        }
    }
    Ok(spent)
}

fn source(by: SpentBy) -> String {
    let (figures, of_a_call) = (&*FIGURES, &*FIGURES_OF_A_CALL);
    let model = "coalesce(counted_as, model)";
    let of_calls = format!(
        "SELECT provider, {model}, program, repository, session, subagent, {of_a_call} FROM calls"
    );
    match by {
        SpentBy::Model => format!(
            "SELECT provider, model, NULL, NULL, NULL, NULL, {figures} FROM usage_slots WHERE slot >= ?1 AND slot < ?2 \
             UNION ALL SELECT provider, {model}, NULL, NULL, NULL, NULL, {of_a_call} FROM calls WHERE {ENDS}"
        ),
        SpentBy::Caller => format!(
            "SELECT provider, model, program, repository, NULL, NULL, {figures} FROM caller_slots \
             WHERE slot >= ?1 AND slot < ?2 UNION ALL \
             SELECT provider, {model}, program, repository, NULL, NULL, {of_a_call} FROM calls WHERE {ENDS}"
        ),
        // From the begin of the span's head to the end of its tail.
        SpentBy::Session => format!("{of_calls} WHERE ended_at >= ?3 AND ended_at < ?6"),
        SpentBy::OpenSessions => format!(
            "{of_calls} WHERE session IN (SELECT session FROM sessions WHERE ended_at IS NULL)"
        ),
    }
}

/// `None` for a label that a later version has written.
fn subject(row: &Row<'_>, models: &Models) -> rusqlite::Result<Option<Subject>> {
    let text = |column: usize| row.get::<_, Option<String>>(column);
    let Some(provider) = text(0)?.as_deref().and_then(Provider::parse) else {
        return Ok(None);
    };
    let model = text(1)?.unwrap_or_default();
    Ok(Some(Subject {
        provider,
        model: models.label(&Model::from_wire(&model)),
        program: text(2)?.as_deref().and_then(ProgramName::new),
        repository: text(3)?.as_deref().and_then(RepositoryName::new),
        session: text(4)?.as_deref().and_then(SessionId::parse),
        subagent: text(5)?.as_deref().and_then(Id::from_wire),
    }))
}
