//! Repairs impossible sums: they are recalculated from the calls that are kept.
//!
//! Earlier versions believed that a call can cost a million dollars, and other programs can write into
//! the file. The quarters of an hour that have a sum which is negative, or larger than a single call
//! may make it, are compared with their calls, whose own impossible figures are taken out first, as
//! if they had not been reported. Where calls are gone, a cost that so many calls cannot have becomes
//! unknown.

use rusqlite::{Connection, TransactionBehavior};

use super::columns::{FIGURES, FIGURES_OF_A_CALL, TOKENS, TOTALS};
use super::query::{THREAD, rows_since};
use super::schema::SLOT_MS;
use super::share::kept;
use crate::ledger::memory::figures::LARGEST;
use crate::record::{Cost, Outcome, TokenUsage};

/// What was mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Healed {
    /// Quarters of an hour whose sums were wrong.
    pub(in crate::ledger) slots: usize,
    /// Calls that have lost impossible figures.
    pub(in crate::ledger) calls: usize,
}

/// Mends the sums of a file, all or none. Reads every row of both roll-ups, and calls only where a
/// sum is suspect.
pub(in crate::ledger) fn heal(connection: &mut Connection) -> rusqlite::Result<Healed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let kept_since = rows_since(&transaction)?;
    let mut healed = Healed::default();
    for slot in suspects(&transaction)? {
        let range = [slot, slot.saturating_add(SLOT_MS)];
        let has_calls = slot >= kept_since && has_all_calls(&transaction, range)?;
        if has_calls {
            healed.calls += cure_calls(&transaction, range)?;
        }
        let mut is_changed = false;
        for rollup in [usage(), cascades(), callers()] {
            is_changed |= if has_calls {
                rollup.sum_up_again(&transaction, range)?
            } else {
                rollup.make_possible(&transaction, slot)?
            };
        }
        healed.slots += usize::from(is_changed);
    }
    transaction.commit()?;
    Ok(healed)
}

/// The slots with a sum that is negative, or larger than a single call may make it. In all others
/// every call is possible.
fn suspects(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let limits = FIGURES.split(", ").map(|column| match column {
        "cost_nano_usd" => format!("{column} NOT BETWEEN 0 AND {}", most_cost()),
        _ => format!("{column} NOT BETWEEN 0 AND {}", most_tokens()),
    });
    let is_suspect = format!(
        "slot % {SLOT_MS} = 0 AND ({})",
        limits.collect::<Vec<_>>().join(" OR ")
    );
    let sql = format!(
        "SELECT slot FROM usage_slots WHERE {is_suspect} UNION SELECT slot FROM cascade_slots WHERE {is_suspect} \
         UNION SELECT slot FROM caller_slots WHERE {is_suspect}"
    );
    connection
        .prepare(&sql)?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Whether no call of a slot is gone, by what its sums count. An impossible count says nothing.
fn has_all_calls(connection: &Connection, range: [i64; 2]) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM calls WHERE ended_at >= ?1 AND ended_at < ?2) >= \
         (SELECT coalesce(sum(calls), 0) FROM usage_slots WHERE slot = ?1 AND calls BETWEEN 0 AND {})",
        most_tokens()
    );
    connection.query_row(&sql, range, |row| row.get(0))
}

/// Takes figures that no call can have out of the calls of a slot; returns of how many.
fn cure_calls(connection: &Connection, range: [i64; 2]) -> rusqlite::Result<usize> {
    let limits = TOKENS
        .split(", ")
        .map(|kind| (kind, most_tokens()))
        .chain([("cost_nano_usd", most_cost())]);
    let cures = limits.map(|(column, most)| {
        let is_possible = format!("{column} BETWEEN 0 AND {most}");
        (
            format!("{column} = CASE WHEN {is_possible} THEN {column} END"),
            format!("NOT {is_possible}"),
        )
    });
    let (cures, symptoms): (Vec<_>, Vec<_>) = cures.unzip();
    let (cures, symptoms) = (cures.join(", "), symptoms.join(" OR "));
    let sql =
        format!("UPDATE calls SET {cures} WHERE ended_at >= ?1 AND ended_at < ?2 AND ({symptoms})");
    connection.execute(&sql, range)
}

/// A table of sums.
struct Rollup {
    table: &'static str,
    /// The columns of its key, without the slot.
    key: &'static str,
    /// What a call has in their place.
    key_of_a_call: String,
    /// Which calls it counts.
    calls: &'static str,
}

fn usage() -> Rollup {
    let reason = format!(
        "CASE WHEN outcome = '{}' THEN coalesce(rate_limit, '') ELSE '' END",
        Outcome::RateLimited
    );
    Rollup {
        table: "usage_slots",
        key: "provider, model, operation, outcome, rate_limit, quality",
        key_of_a_call: format!(
            "provider, coalesce(counted_as, model), operation, outcome, {reason}, quality"
        ),
        calls: ALL,
    }
}

fn cascades() -> Rollup {
    Rollup {
        table: "cascade_slots",
        key: "cascade, trajectory, provider, model, outcome, quality",
        key_of_a_call: format!("{THREAD}, provider, coalesce(counted_as, model), outcome, quality"),
        calls: ALL,
    }
}

fn callers() -> Rollup {
    Rollup {
        table: "caller_slots",
        key: "program, repository, branch, provider, model, outcome, quality",
        key_of_a_call:
            "coalesce(program, ''), coalesce(repository, ''), coalesce(branch, ''), provider, \
                        coalesce(counted_as, model), outcome, quality"
                .to_owned(),
        calls: "(program IS NOT NULL OR repository IS NOT NULL)",
    }
}

const ALL: &str = "true";

impl Rollup {
    /// Makes the sums of a slot what its calls add up to; returns whether they were anything else.
    fn sum_up_again(&self, connection: &Connection, range: [i64; 2]) -> rusqlite::Result<bool> {
        let Self {
            table,
            key,
            key_of_a_call,
            calls,
        } = self;
        let [slot, _] = range;
        let (figures, of_a_call, totals) = (&*FIGURES, &*FIGURES_OF_A_CALL, &*TOTALS);
        let right = format!(
            "WITH of_calls ({key}, {figures}) AS (SELECT {key_of_a_call}, {of_a_call} FROM calls \
             WHERE ended_at >= ?1 AND ended_at < ?2 AND {calls}) SELECT ?1, {key}, {totals} FROM of_calls GROUP BY {key}"
        );
        let columns = format!("slot, {key}, {figures}");
        let there = format!("SELECT {columns} FROM {table} WHERE slot = ?1");
        let differs = format!(
            "SELECT EXISTS (SELECT * FROM ({right}) EXCEPT {there}) OR EXISTS ({there} EXCEPT SELECT * FROM ({right}))"
        );
        let differs = connection.query_row(&differs, range, |row| row.get(0))?;
        if differs {
            connection.execute(&format!("DELETE FROM {table} WHERE slot = ?1"), [slot])?;
            connection.execute(&format!("INSERT INTO {table} ({columns}) {right}"), range)?;
        }
        Ok(differs)
    }

    /// Mends what can be mended of a slot whose calls are gone: a cost that its calls cannot have
    /// is not known, and nothing is negative. Returns whether anything was.
    fn make_possible(&self, connection: &Connection, slot: i64) -> rusqlite::Result<bool> {
        let no_cost = format!(
            "(cost_nano_usd < 0 OR cost_nano_usd / {} > priced_calls)",
            most_cost()
        );
        let not_negative = ["calls"].into_iter().chain(TOKENS.split(", "));
        let not_negative: String = not_negative
            .map(|column| format!("{column} = max({column}, 0), "))
            .collect();
        let sql = format!(
            "UPDATE {} SET {not_negative}priced_calls = iif({no_cost}, 0, max(priced_calls, 0)), \
             unpriced_calls = min(max(unpriced_calls, 0) + iif({no_cost}, max(priced_calls, 0), 0), {LARGEST}), \
             cost_nano_usd = iif({no_cost}, 0, cost_nano_usd) WHERE slot = ?1 AND ({no_cost} OR min({}) < 0)",
            self.table, *FIGURES
        );
        Ok(connection.execute(&sql, [slot])? > 0)
    }
}

fn most_tokens() -> i64 {
    kept(TokenUsage::MAX_OF_A_KIND)
}

fn most_cost() -> i64 {
    kept(Cost::MAX_OF_A_CALL.nano_usd())
}
