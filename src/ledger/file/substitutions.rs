//! Calls that another model has answered than the one that was asked for, as the file counts them.

use rusqlite::{Connection, Row};

use super::columns::count;
use super::query::{ENDS, bounds};
use super::saturate::total;
use super::span::Span;
use crate::ledger::memory::substitutions::Substitutions;
use crate::ledger::memory::sums::Served;
use crate::record::{Id, Label as _, Model, Models, Provider, Substitution};

/// Those of a span.
pub(super) fn find(
    connection: &Connection,
    span: &Span,
    models: &Models,
) -> rusqlite::Result<Substitutions> {
    let sql = format!(
        "SELECT provider, model, served_model, {} FROM \
         (SELECT provider, model, served_model, calls FROM substitution_slots WHERE slot >= ?1 AND slot < ?2 \
         UNION ALL SELECT provider, coalesce(counted_as, model), substituted_by, 1 FROM calls \
         WHERE substituted_by IS NOT NULL AND ({ENDS})) GROUP BY 1, 2, 3",
        total("calls")
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(bounds(span))?;
    let mut found = Substitutions::default();
    while let Some(row) = rows.next()? {
        if let Some(one) = read(row, models)? {
            let served = Served {
                model: one.model,
                provider: one.provider,
            };
            found.add(&served, &one.served_model, one.calls);
        }
    }
    Ok(found)
}

/// Calls of one conversation that asked for one model and were answered by another.
#[derive(Debug)]
pub(super) struct OfConversation {
    pub(super) cascade: Id,
    pub(super) asked: Served,
    pub(super) answered: Model,
    pub(super) calls: u64,
}

/// Those of every conversation, by the calls whose rows are still kept.
pub(super) fn by_conversation(
    connection: &Connection,
    models: &Models,
) -> rusqlite::Result<Vec<OfConversation>> {
    let mut select = connection.prepare(
        "SELECT provider, coalesce(counted_as, model), substituted_by, count(*), cascade FROM calls \
         WHERE substituted_by IS NOT NULL AND cascade IS NOT NULL GROUP BY 1, 2, 3, 5",
    )?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let cascade = Id::from_wire(row.get_ref(4)?.as_str()?);
        let Some((one, cascade)) = read(row, models)?.zip(cascade) else {
            continue;
        };
        all.push(OfConversation {
            cascade,
            asked: Served {
                model: one.model,
                provider: one.provider,
            },
            answered: one.served_model,
            calls: one.calls,
        });
    }
    Ok(all)
}

/// Those of the whole file. Models that have answered get names of their own here, as they had when
/// they did.
pub(super) fn all(connection: &Connection, models: &Models) -> rusqlite::Result<Vec<Substitution>> {
    let sql = format!(
        "SELECT provider, model, served_model, {} FROM substitution_slots GROUP BY 1, 2, 3 ORDER BY 4 DESC",
        total("calls")
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([])?;
    let mut all = Vec::<Substitution>::new();
    while let Some(row) = rows.next()? {
        // Beyond the limit they share `other`.
        let _ = models.admit(&Model::from_wire(row.get_ref(2)?.as_str()?));
        let Some(one) = read(row, models)? else {
            continue;
        };
        let same = all.iter_mut().find(|known| {
            (known.provider, &known.model, &known.served_model)
                == (one.provider, &one.model, &one.served_model)
        });
        match same {
            Some(known) => known.calls = known.calls.saturating_add(one.calls),
            None => all.push(one),
        }
    }
    Ok(all)
}

/// `None` for a provider that this version does not know.
fn read(row: &Row<'_>, models: &Models) -> rusqlite::Result<Option<Substitution>> {
    let model = |column: usize| -> rusqlite::Result<Model> {
        Ok(models.label(&Model::from_wire(row.get_ref(column)?.as_str()?)))
    };
    let (asked, answered, calls) = (model(1)?, model(2)?, count(row, 3)?);
    let provider = Provider::parse(row.get_ref(0)?.as_str()?);
    Ok(provider.map(|provider| Substitution {
        provider,
        model: asked,
        served_model: answered,
        calls,
    }))
}
