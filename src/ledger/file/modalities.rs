//! What tokens stand for, in the table `modality_tokens`: sums of all calls, from which counters
//! resume. They have no time, and no answer is made of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::{Connection, params};

use super::columns::count;
use super::saturate::plus;
use super::share::kept;
use crate::record::{Label, ModalityGroup, ModalitySplits, Model, Models, Operation, Provider};

/// What a batch adds: each row is changed once.
#[derive(Debug, Default)]
pub(super) struct AddedModalities(BTreeMap<(String, String, String), ModalitySplits>);

impl AddedModalities {
    /// Adds the tokens of a call. `model` is its bounded name.
    pub(super) fn add(
        &mut self,
        provider: &str,
        model: &str,
        operation: &str,
        splits: &ModalitySplits,
    ) {
        if !splits.is_empty() {
            let key = (provider.to_owned(), model.to_owned(), operation.to_owned());
            self.0.entry(key).or_default().merge(splits);
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for ((provider, model, operation), splits) in &self.0 {
            for (sum, split) in splits.iter() {
                for (modality, tokens) in split.iter().filter(|(_, tokens)| *tokens > 0) {
                    let mut add = connection.prepare_cached(&ADD)?;
                    add.execute(params![
                        provider,
                        model,
                        operation,
                        sum.as_str(),
                        modality.as_str(),
                        kept(tokens)
                    ])?;
                }
            }
        }
        Ok(())
    }
}

/// All sums of the file. Models that have no label of their own share one; what a later version has
/// written and this one has no word for is left out.
pub(super) fn groups(
    connection: &Connection,
    models: &Models,
) -> rusqlite::Result<Vec<ModalityGroup>> {
    let mut select = connection
        .prepare("SELECT provider, model, operation, sum, modality, tokens FROM modality_tokens")?;
    let mut rows = select.query([])?;
    let mut groups = BTreeMap::<(Provider, Model, Operation), ModalitySplits>::new();
    while let Some(row) = rows.next()? {
        let text = |column: usize| {
            row.get_ref(column)
                .map(|text| text.as_str().unwrap_or_default())
        };
        let labels = (
            Label::parse(text(0)?),
            Label::parse(text(2)?),
            Label::parse(text(3)?),
            Label::parse(text(4)?),
        );
        if let (Some(provider), Some(operation), Some(sum), Some(modality)) = labels {
            let model = models.label(&Model::from_wire(text(1)?));
            let splits = groups.entry((provider, model, operation)).or_default();
            splits[sum].add(modality, count(row, 5)?);
        }
    }
    let groups = groups.into_iter();
    Ok(groups
        .map(|((provider, model, operation), splits)| ModalityGroup {
            provider,
            model,
            operation,
            splits,
        })
        .collect())
}

static ADD: LazyLock<String> = LazyLock::new(|| {
    let adding_up = plus("tokens");
    format!(
        "INSERT INTO modality_tokens (provider, model, operation, sum, modality, tokens) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET {adding_up}"
    )
});
