//! Counts the connections that are open.

use crate::record::{Disposition, Fact, Record};

/// Counts a connection as opened, and as closed when dropped.
pub(super) struct Opened<'a> {
    record: &'a dyn Record,
    disposition: Disposition,
}

impl<'a> Opened<'a> {
    pub(super) fn new(record: &'a dyn Record, disposition: Disposition) -> Self {
        record.record(Fact::ConnectionOpened(disposition));
        Self {
            record,
            disposition,
        }
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.record.record(Fact::ConnectionClosed(self.disposition));
    }
}
