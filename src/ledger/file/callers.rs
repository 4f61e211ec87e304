//! The sums of who makes calls, over a span of time: by session, program, repository or branch.
//!
//! Programs, repositories and branches have a roll-up, which is kept for good. Sessions have none:
//! they are summed up from the rows of calls, and go with them.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::columns::{FIGURES, FIGURES_OF_A_CALL, TOTALS};
use super::grouping::By;
use super::query::{ENDS, bounds, served, sums};
use super::sessions::session_of;
use super::span::Span;
use crate::ledger::memory::figures::Figures;
use crate::ledger::memory::sums::ByModel;
use crate::record::{
    BranchName, Caller, CallerTotals, Models, ProgramName, RepositoryName, SessionId,
};

/// The calls of one caller: of the fields, those are set that it is one by.
#[derive(Debug)]
pub(in crate::ledger) struct FoundCaller {
    pub(in crate::ledger) caller: Caller,
    pub(in crate::ledger) sums: ByModel,
}

/// Those that called last in the span; none where groups are of something else.
pub(in crate::ledger) fn callers(
    connection: &Connection,
    span: &Span,
    by: By,
    models: &Models,
) -> rusqlite::Result<Vec<FoundCaller>> {
    let (figures, totals) = (&*FIGURES, &*TOTALS);
    let Some(source) = source(by) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "WITH own (at, session, program, repository, branch, provider, model, outcome, quality, {figures}) AS MATERIALIZED ({source}), \
         newest AS (SELECT session, program, repository, branch FROM own WHERE session <> '' OR program <> '' OR repository <> '' \
         GROUP BY 1, 2, 3, 4 ORDER BY max(at) DESC LIMIT {MAX_CALLERS}) \
         SELECT session, program, repository, branch, provider, model, outcome, quality, {totals} FROM own \
         WHERE (session, program, repository, branch) IN newest \
         GROUP BY 1, 2, 3, 4, provider, model, outcome, quality ORDER BY 1, 2, 3, 4"
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(params_from_iter(bounds(span).map(Value::from)))?;
    let mut found = Vec::<FoundCaller>::new();
    while let Some(row) = rows.next()? {
        let caller = caller(row, 0)?;
        let Some((served, sums)) = served(row, 4, models)?.zip(sums(row, 6)?) else {
            continue;
        };
        if found.last().is_none_or(|known| known.caller != caller) {
            found.push(FoundCaller {
                caller,
                sums: ByModel::default(),
            });
        }
        if let Some(known) = found.last_mut() {
            known.sums.add(&served, &sums);
        }
    }
    for found in &mut found {
        let session = found.caller.session.as_ref();
        if let Some(session) = session
            .map(|id| session_of(connection, id))
            .transpose()?
            .flatten()
        {
            found.caller = Caller::of_session(&session);
        }
    }
    Ok(found)
}

/// What each program has called in each repository, of the whole file.
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<Vec<CallerTotals>> {
    let totals = &*TOTALS;
    let mut select = connection.prepare(&format!(
        "SELECT program, repository, {totals} FROM caller_slots GROUP BY 1, 2 ORDER BY 3 DESC"
    ))?;
    let groups = select.query_map([], |row| {
        let figures = Figures::read(row, 2)?;
        Ok(CallerTotals {
            program: ProgramName::new(row.get_ref(0)?.as_str()?),
            repository: RepositoryName::new(row.get_ref(1)?.as_str()?),
            calls: figures.calls,
            tokens: figures.tokens,
            cost: figures.cost,
        })
    })?;
    groups.collect()
}

/// Where the sums of a grouping come from; what its groups are not one by is empty.
fn source(by: By) -> Option<String> {
    let (figures, of_a_call) = (&*FIGURES, &*FIGURES_OF_A_CALL);
    let key = match by {
        By::Session => {
            // From the begin of the span's head to the end of its tail.
            return Some(format!(
                "SELECT ended_at, session, '', '', '', provider, coalesce(counted_as, model), outcome, quality, {of_a_call} \
                 FROM calls WHERE session IS NOT NULL AND ended_at >= ?3 AND ended_at < ?6"
            ));
        }
        By::Program => "coalesce(program, ''), '', ''",
        By::Repository => "'', coalesce(repository, ''), ''",
        By::Branch => "'', coalesce(repository, ''), coalesce(branch, '')",
        _ => return None,
    };
    Some(format!(
        "SELECT slot, '', {key}, provider, model, outcome, quality, {figures} FROM caller_slots \
         WHERE slot >= ?1 AND slot < ?2 UNION ALL \
         SELECT ended_at, '', {key}, provider, coalesce(counted_as, model), outcome, quality, {of_a_call} \
         FROM calls WHERE {ENDS}"
    ))
}

/// Who calls, from four columns on: the session, program, repository and branch.
pub(super) fn caller(row: &Row<'_>, column: usize) -> rusqlite::Result<Caller> {
    let text =
        |place: usize| Ok::<_, rusqlite::Error>(row.get_ref(column + place)?.as_str_or_null()?);
    Ok(Caller {
        session: text(0)?.and_then(SessionId::parse),
        program: text(1)?.and_then(ProgramName::new),
        repository: text(2)?.and_then(RepositoryName::new),
        branch: text(3)?.and_then(BranchName::new),
    })
}

/// Groups that are kept apart; the calls of all others are one group.
const MAX_CALLERS: usize = 1000;
