//! Amounts of what a budget counts, as exact integers.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::record::{Cost, SubjectTotals, label};

label! {
    /// What a budget counts.
    pub enum Unit {
        /// Calls that ended.
        Calls => "calls",
        /// US dollars.
        Cost => "cost",
        /// Tokens of all kinds.
        Tokens => "tokens",
    }
}

/// A number of calls or tokens, or an amount of money in nano-USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// What it is a number of.
    pub unit: Unit,
    /// The number; nano-USD of a cost.
    pub value: u64,
}

impl Amount {
    /// Larger limits are refused: up to here a ratio of two amounts is exact to the last digit that
    /// anybody reads. Nine million dollars, or 9 × 10¹⁵ tokens.
    pub const MAX_LIMIT: u64 = 1 << 53;

    /// What these calls take of a budget.
    #[must_use]
    pub fn of(unit: Unit, totals: &SubjectTotals) -> Self {
        let value = match unit {
            Unit::Calls => totals.calls,
            Unit::Cost => totals.cost.nano_usd(),
            Unit::Tokens => totals.tokens,
        };
        Self { unit, value }
    }

    /// The smallest amount that is at least this share of it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "exact up to MAX_LIMIT, and shares are from 0 to 1"
    )]
    pub fn share(self, ratio: f64) -> u64 {
        (self.value as f64 * ratio).ceil() as u64
    }

    /// The part that this amount is of a limit in the same unit: 1 is all of it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people, exact up to MAX_LIMIT"
    )]
    pub fn ratio_of(self, limit: Self) -> f64 {
        self.value as f64 / (limit.value.max(1)) as f64
    }
}

impl fmt::Display for Amount {
    /// For people: `$4.20`, `3 calls`, `1200 tokens`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Calls => write!(f, "{} calls", self.value),
            Unit::Cost => write!(f, "${:.2}", Cost::from_nano_usd(self.value).usd()),
            Unit::Tokens => write!(f, "{} tokens", self.value),
        }
    }
}

impl Serialize for Amount {
    /// A number: of calls, of tokens, or of US dollars.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.unit {
            Unit::Calls | Unit::Tokens => serializer.serialize_u64(self.value),
            Unit::Cost => Cost::from_nano_usd(self.value).serialize(serializer),
        }
    }
}
