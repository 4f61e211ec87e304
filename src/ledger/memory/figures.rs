//! The figures of calls that are alike, as the file and the metrics count them: 64 bits wide, so
//! that a sum may have reached the largest number.

use crate::record::{Cost, PerKind};

/// The figures of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Figures {
    pub(in crate::ledger) calls: u64,
    pub(in crate::ledger) tokens: PerKind<u64>,
    pub(in crate::ledger) priced_calls: u64,
    pub(in crate::ledger) unpriced_calls: u64,
    pub(in crate::ledger) cost: Cost,
}

/// The largest number that SQLite holds.
pub(in crate::ledger) const LARGEST: i64 = i64::MAX;

/// Whether a sum that was read from the file is a lower bound.
pub(in crate::ledger) fn is_lower_bound(sum: u64) -> bool {
    sum >= LARGEST.unsigned_abs()
}
