//! What the ledger loses, and how its file fails. The traffic is never affected.

use super::label::label;

label! {
    /// What the ledger was doing when its file failed.
    pub enum LedgerFailure {
        /// The file was damaged and has been moved aside; a new one was begun.
        Corrupt => "corrupt",
        /// The file could not be opened.
        Open => "open",
        /// A question could not be answered from the file.
        Query => "query",
        /// What is too old or too much could not be removed.
        Retain => "retain",
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
        /// One more of something that is only counted (steps, comparisons).
        Count => "count",
        /// A reading of a quota.
        Quota => "quota",
        /// A run that ended.
        Run => "run",
        /// A call that began.
        Started => "started",
    }
}
