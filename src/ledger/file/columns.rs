//! The figures of calls as columns, for every table and query: made from the list of kinds of
//! tokens, so that no two places can disagree on their order.

use std::sync::LazyLock;

use rusqlite::Row;

use super::saturate::{plus, total};
use crate::ledger::memory::figures::Figures;
use crate::record::{Cost, Label as _, PerKind, TokenKind};

/// How many figures a row of a roll-up has.
pub(super) const FIGURE_COUNT: usize = 1 + TokenKind::ALL.len() + 3;

/// The columns of tokens: `input, cache_read, …`.
pub(super) static TOKENS: LazyLock<String> = LazyLock::new(|| tokens(", ", str::to_owned));

/// The columns of a roll-up that are added up, in the order in which [`Figures`] reads them.
pub(super) static FIGURES: LazyLock<String> = LazyLock::new(|| names().join(", "));

/// The same figures of one call.
pub(super) static FIGURES_OF_A_CALL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "1, {}, cost_nano_usd IS NOT NULL, cost_nano_usd IS NULL AND {} > 0, coalesce(cost_nano_usd, 0)",
        tokens(", ", reported),
        tokens(" + ", reported),
    )
});

/// The same figures of a group of rows of a roll-up.
pub(super) static TOTALS: LazyLock<String> = LazyLock::new(|| written(total));

/// The end of an insertion into a roll-up that adds to the row which is there, and returns the
/// largest of its sums.
pub(super) static ADDING_UP: LazyLock<String> = LazyLock::new(|| {
    format!(
        " ON CONFLICT DO UPDATE SET {} RETURNING max(calls, {}, cost_nano_usd)",
        written(plus),
        *TOKENS
    )
});

/// Every figure, each written in some way.
fn written(how: impl Fn(&str) -> String) -> String {
    let columns: Vec<String> = names().into_iter().map(how).collect();
    columns.join(", ")
}

/// Columns of tokens, each written in some way.
pub(in crate::ledger) fn tokens(between: &str, written: impl Fn(&str) -> String) -> String {
    let columns = TokenKind::ALL.iter().map(|kind| written(kind.as_str()));
    columns.collect::<Vec<_>>().join(between)
}

fn names() -> Vec<&'static str> {
    let tokens = TokenKind::ALL.iter().map(|kind| kind.as_str());
    ["calls"].into_iter().chain(tokens).chain(COSTS).collect()
}

fn reported(column: &str) -> String {
    format!("coalesce({column}, 0)")
}

/// Calls that have a price, those that have tokens and none, and what the former cost.
const COSTS: [&str; 3] = ["priced_calls", "unpriced_calls", "cost_nano_usd"];

impl Figures {
    /// Those that stand from a column on, in the order of [`FIGURES`].
    pub(in crate::ledger) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let costs = first + 1 + TokenKind::ALL.len();
        let mut tokens = PerKind::default();
        for (place, kind) in TokenKind::ALL.iter().enumerate() {
            tokens[*kind] = count(row, first + 1 + place)?;
        }
        Ok(Self {
            calls: count(row, first)?,
            tokens,
            priced_calls: count(row, costs)?,
            unpriced_calls: count(row, costs + 1)?,
            cost: Cost::from_nano_usd(count(row, costs + 2)?),
        })
    }
}

/// A count; what cannot be one counts 0.
pub(in crate::ledger) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
