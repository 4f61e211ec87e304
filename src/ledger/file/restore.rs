//! What earlier processes have counted: the file's sums, as [`Totals`] from which counters resume.

use rusqlite::{Connection, Row};

use super::callers;
use super::columns::{TOKENS, TOTALS, count};
use super::modalities;
use super::rows::{COMPARISONS, CORRELATIONS, REPORTED_COSTS, STEPS};
use super::saturate::total;
use super::substitutions;
use crate::ledger::memory::figures::Figures;
use crate::record::{
    CallGroup, Cost, Label, Model, Models, Outcome, Provider, StepKind, StepStatus, Totals,
};

/// Sums up the whole file. Models that a provider has answered as get their labels here before any
/// new one does, the most used first, so that a series goes on under the name it had; the calls of
/// all others come back as `other`. What a later version has written and this one has no word for
/// is left out.
pub(in crate::ledger) fn totals(
    connection: &Connection,
    models: &Models,
) -> rusqlite::Result<Totals> {
    for model in answered(connection)? {
        // Beyond the limit they share `other`.
        let _ = models.admit(&model);
    }
    let figures = &*TOTALS;
    let mut sums = connection.prepare(&format!(
        "SELECT provider, model, operation, outcome, rate_limit, quality, {figures} FROM usage_slots \
         GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC"
    ))?;
    let groups = sums.query_map([], |row| group(row, models))?;
    let mut calls: Vec<CallGroup> = Vec::new();
    for group in groups {
        if let Some(group) = group? {
            merge(&mut calls, group);
        }
    }
    for ((provider, model), cost) in counts(connection, REPORTED_COSTS, served)? {
        let model = models.label(&model);
        let groups = calls
            .iter_mut()
            .filter(|group| (group.provider, &group.model) == (provider, &model));
        share_out(Cost::from_nano_usd(cost), groups);
    }
    Ok(Totals {
        calls,
        substitutions: substitutions::all(connection, models)?,
        modalities: modalities::groups(connection, models)?,
        callers: callers::totals(connection)?,
        correlations: counts(connection, CORRELATIONS, Label::parse)?,
        comparisons: counts(connection, COMPARISONS, Label::parse)?,
        steps: counts(connection, STEPS, step)?,
    })
}

/// The models of which a call was answered ([`crate::record::Call::proves_its_model`]), the most
/// used first.
fn answered(connection: &Connection) -> rusqlite::Result<Vec<Model>> {
    let (tokens, calls) = (&*TOKENS, total("calls"));
    let mut select = connection.prepare(&format!(
        "SELECT model FROM usage_slots GROUP BY 1 HAVING max(iif(outcome = ?1, calls, 0)) > 0 \
         OR max(max({tokens})) > 0 ORDER BY {calls} DESC"
    ))?;
    let models = select.query_map([Outcome::Ok.as_str()], |row| {
        Ok(Model::from_wire(row.get_ref(0)?.as_str()?))
    })?;
    models.collect()
}

/// `None` for a text that this version does not know.
fn group(row: &Row<'_>, models: &Models) -> rusqlite::Result<Option<CallGroup>> {
    let reason: String = row.get(4)?;
    let Figures {
        calls,
        tokens,
        priced_calls,
        unpriced_calls,
        cost,
    } = Figures::read(row, 6)?;
    let label = |column: usize| row.get_ref(column).ok()?.as_str().ok();
    Ok((|| {
        Some(CallGroup {
            provider: Label::parse(label(0)?)?,
            model: models.label(&Model::from_wire(label(1)?)),
            operation: Label::parse(label(2)?)?,
            outcome: Label::parse(label(3)?)?,
            rate_limit: Label::parse(&reason),
            quality: Label::parse(label(5)?)?,
            calls,
            priced_calls,
            unpriced_calls,
            cost,
            reported_cost: Cost::default(),
            tokens,
        })
    })())
}

/// Two models of the file are one where both are folded into `other`: for a smaller limit, or
/// because neither was answered.
fn merge(groups: &mut Vec<CallGroup>, group: CallGroup) {
    let labels = |of: &CallGroup| {
        (
            of.provider,
            of.model.clone(),
            of.operation,
            of.outcome,
            of.rate_limit,
            of.quality,
        )
    };
    let same = if group.model == Models::other() {
        groups
            .iter_mut()
            .find(|known| labels(known) == labels(&group))
    } else {
        None
    };
    let Some(known) = same else {
        return groups.push(group);
    };
    known.calls = known.calls.saturating_add(group.calls);
    known.priced_calls = known.priced_calls.saturating_add(group.priced_calls);
    known.unpriced_calls = known.unpriced_calls.saturating_add(group.unpriced_calls);
    known.cost = known.cost.saturating_add(group.cost);
    known
        .tokens
        .merge(&group.tokens, |sum, more| *sum = sum.saturating_add(more));
}

fn counts<L>(
    connection: &Connection,
    name: &str,
    read: impl Fn(&str) -> Option<L>,
) -> rusqlite::Result<Vec<(L, u64)>> {
    let mut select = connection.prepare("SELECT label, count FROM counts WHERE name = ?1")?;
    let rows = select.query_map([name], |row| Ok((row.get::<_, String>(0)?, count(row, 1)?)))?;
    let known = rows.map(|row| row.map(|(label, count)| read(&label).map(|label| (label, count))));
    known.filter_map(Result::transpose).collect()
}

/// Marks a part of what some groups cost as reported by their provider.
fn share_out<'a>(mut reported: Cost, groups: impl Iterator<Item = &'a mut CallGroup>) {
    for group in groups {
        let share = reported.min(group.cost.saturating_sub(group.reported_cost));
        group.reported_cost = group.reported_cost.saturating_add(share);
        reported = reported.saturating_sub(share);
    }
}

/// The provider and the model that a count is of.
fn served(label: &str) -> Option<(Provider, Model)> {
    let (provider, model) = label.split_once('/')?;
    Some((Provider::parse(provider)?, Model::from_wire(model)))
}

fn step(label: &str) -> Option<(StepKind, StepStatus)> {
    let (kind, status) = label.split_once('/')?;
    Some((StepKind::parse(kind)?, StepStatus::parse(status)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Operation, PerKind, Quality};

    #[test]
    fn only_groups_with_the_same_labels_are_one() {
        let group = |model: Model, outcome, calls| CallGroup {
            provider: Provider::CloudCode,
            model,
            operation: Operation::Chat,
            outcome,
            rate_limit: None,
            quality: Quality::Exact,
            calls,
            priced_calls: calls,
            unpriced_calls: 0,
            cost: Cost::from_nano_usd(calls),
            reported_cost: Cost::default(),
            tokens: PerKind::from_fn(|_| calls),
        };
        let mut groups = Vec::new();
        for (outcome, calls) in [(Outcome::Ok, 1), (Outcome::Aborted, 10), (Outcome::Ok, 100)] {
            merge(&mut groups, group(Models::other(), outcome, calls));
        }
        merge(&mut groups, group(Model::from_wire("m"), Outcome::Ok, 1000));
        let expected = [
            group(Models::other(), Outcome::Ok, 101),
            group(Models::other(), Outcome::Aborted, 10),
            group(Model::from_wire("m"), Outcome::Ok, 1000),
        ];
        assert_eq!(groups, expected);
    }

    #[test]
    fn what_providers_report_is_never_more_than_what_calls_cost() {
        let group = |cost| CallGroup {
            provider: Provider::OpenRouter,
            model: Model::from_wire("m"),
            operation: Operation::Chat,
            outcome: Outcome::Ok,
            rate_limit: None,
            quality: Quality::Exact,
            calls: 1,
            priced_calls: 1,
            unpriced_calls: 0,
            cost: Cost::from_nano_usd(cost),
            reported_cost: Cost::default(),
            tokens: PerKind::default(),
        };
        for (reported, expected) in [(0, [0, 0]), (7, [5, 2]), (15, [5, 10]), (99, [5, 10])] {
            let mut groups = [group(5), group(10)];
            share_out(Cost::from_nano_usd(reported), groups.iter_mut());
            let shares = groups.map(|group| group.reported_cost.nano_usd());
            assert_eq!(shares, expected, "{reported}");
        }
    }
}
