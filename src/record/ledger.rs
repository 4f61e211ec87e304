//! What the ledger loses, and how its file fails. The traffic is never affected.

use super::label::label;

label! {
    /// What the ledger was doing when its file failed.
    pub enum LedgerFailure {
        /// The file was damaged and has been moved aside; a new one was begun.
        ///
        /// What to do: see the disk; what was moved aside stands beside the ledger.
        Corrupt => "corrupt",
        /// Sums of the file were impossible; they were recalculated from the calls that are kept.
        ///
        /// What to do: see what has written into the file beside Gravimeter.
        Heal => "heal",
        /// The file could not be opened.
        ///
        /// What to do: see the path, its rights and the disk: the log says why.
        Open => "open",
        /// A query of the file failed.
        ///
        /// What to do: see the disk; ask for shorter spans.
        Query => "query",
        /// Rows that are too old, or too many, could not be removed.
        ///
        /// What to do: see the disk.
        Retain => "retain",
        /// A sum has reached the largest number that the file can hold: it stays there, as a lower
        /// bound.
        ///
        /// What to do: report it: no honest sum is so large.
        Saturate => "saturate",
        /// The file can never take a record; it was set aside in another file.
        ///
        /// What to do: report it with the file that stands beside the ledger.
        SetAside => "set_aside",
        /// Records could not be written; they wait in memory and are tried again.
        ///
        /// What to do: make room on the disk, or find out what locks the file.
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
        /// The beginning or the end of a session.
        Session => "session",
        /// A call that began.
        Started => "started",
    }
}
