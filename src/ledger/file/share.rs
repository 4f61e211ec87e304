//! What one call adds to the roll-ups, in the words and numbers of their columns.

use std::time::Duration;

use rusqlite::Row;

use super::{columns, span};
use crate::ledger::memory::time::{after, time};
use crate::record::{Call, Cost, Id, Label as _, Models, PerKind, TokenKind};

/// What a call adds to roll-ups.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(in crate::ledger) ended_at: i64,
    /// Empty where it is not known.
    pub(in crate::ledger) cascade: String,
    pub(in crate::ledger) trajectory: String,
    pub(in crate::ledger) provider: String,
    /// Under its bounded name.
    pub(in crate::ledger) model: String,
    pub(in crate::ledger) outcome: String,
    pub(in crate::ledger) quality: String,
    pub(in crate::ledger) tokens: PerKind<i64>,
    /// In billionths of a dollar.
    pub(in crate::ledger) cost: Option<i64>,
}

impl Share {
    pub(in crate::ledger) fn of(call: &Call, models: &Models) -> Self {
        let ended_at = after(time(call.timing.started_at), call.timing.duration);
        Self {
            ended_at: ended_at.as_millisecond(),
            cascade: text(call.correlation.cascade.as_ref())
                .unwrap_or_default()
                .to_owned(),
            trajectory: text(trajectory(call)).unwrap_or_default().to_owned(),
            provider: call.provider.to_string(),
            model: models.name(call).to_string(),
            outcome: call.outcome.to_string(),
            quality: call.quality.to_string(),
            tokens: PerKind::from_fn(|kind| kept(call.usage[kind].unwrap_or(0))),
            cost: call.cost.map(kept_cost),
        }
    }

    /// Of a row with the columns that [`Share::columns`] names.
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut tokens = PerKind::default();
        for (place, kind) in TokenKind::ALL.iter().enumerate() {
            tokens[*kind] = row.get(8 + place)?;
        }
        Ok(Self {
            ended_at: row.get(0)?,
            cascade: row.get(1)?,
            trajectory: row.get(2)?,
            provider: row.get(3)?,
            model: row.get(4)?,
            outcome: row.get(5)?,
            quality: row.get(6)?,
            tokens,
            cost: row.get(7)?,
        })
    }

    /// What is selected of a call.
    pub(in crate::ledger) fn columns() -> String {
        let tokens = columns::tokens(", ", |kind| format!("coalesce({kind}, 0)"));
        format!(
            "ended_at, coalesce(cascade, ''), coalesce(trajectory, ''), provider, \
             coalesce(counted_as, model), outcome, quality, cost_nano_usd, {tokens}"
        )
    }

    /// Whether there are tokens that no price is known for.
    pub(super) fn is_unpriced(&self) -> bool {
        self.cost.is_none() && self.tokens.iter().any(|(_, tokens)| *tokens > 0)
    }

    pub(in crate::ledger) fn slot(&self) -> i64 {
        span::floor(self.ended_at)
    }
}

pub(in crate::ledger) fn trajectory(call: &Call) -> Option<&Id> {
    call.ids
        .trajectory
        .as_ref()
        .or(call.ids.labelled_trajectory.as_ref())
}

pub(in crate::ledger) fn text(id: Option<&Id>) -> Option<&str> {
    id.map(Id::as_str)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A number as SQLite can hold it. What calls have of anything is bounded where it comes from, far
/// below the largest one.
pub(in crate::ledger) fn kept(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn kept_cost(cost: Cost) -> i64 {
    kept(cost.nano_usd())
}
