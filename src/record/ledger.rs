//! What the ledger loses, and how its file fails. The traffic is never affected.

use super::label::label;

label! {
    /// What the ledger was doing when its file failed.
    pub enum LedgerFailure {
        /// The file was damaged and has been moved aside; a new one was begun.
        Corrupt => "corrupt",
        /// Sums of the file were impossible; they were recalculated from the calls that are kept.
        Heal => "heal",
        /// The file could not be opened.
        Open => "open",
        /// A query of the file failed.
        Query => "query",
        /// Rows that are too old, or too many, could not be removed.
        Retain => "retain",
        /// A sum has reached the largest number that the file can hold: it stays there, as a lower
        /// bound.
        Saturate => "saturate",
        /// The file can never take a record; it was set aside in another file.
        SetAside => "set_aside",
        /// Records could not be written; they wait in memory and are tried again.
        Write => "write",
    }
}

label! {
    /// A kind of record that the ledger keeps.
    pub enum LedgerRecord {
        /// A call that ended.
        Call => "call",
        /// The conversation of an earlier call.
        Correlation => "correlation",
        /// An event that is only counted (steps, comparisons).
        Count => "count",
        /// A reading of a quota.
        Quota => "quota",
        /// A run that ended.
        Run => "run",
        /// A call that began.
        Started => "started",
    }
}
