//! What is kept of one conversation or call, by its id.

use super::file::refill::find_call;
use super::{CallDetails, CallId, CallRecord, Cascade, Ledger, QueryError};
use crate::record::Id;

impl Ledger {
    /// A conversation in short; `None` where there is no such one.
    #[must_use]
    pub fn cascade_in_short(&self, id: &Id) -> Option<Cascade> {
        let memory = self.memory();
        Cascade::find(&memory.store, &memory.names, id)
    }

    /// Everything that is kept of a call; `None` where there is no such one. Blocks while the file is
    /// read, unless the call is one of the newest.
    ///
    /// # Errors
    /// [`QueryError`] when the file cannot be read.
    pub fn call(&self, id: CallId) -> Result<Option<CallDetails>, QueryError> {
        let details = |(call, cascade): (CallRecord, Option<Id>)| CallDetails { cascade, call };
        let newest = self.newest_call(id);
        let (None, Some(disk)) = (&newest, &self.disk) else {
            return Ok(newest.map(details));
        };
        let found = disk.read(|connection| find_call(connection, id))?;
        Ok(found.map(details))
    }

    fn newest_call(&self, id: CallId) -> Option<(CallRecord, Option<Id>)> {
        let memory = self.memory();
        let (call, cascade) = memory.store.call(id)?;
        Some((call.clone(), cascade.cloned()))
    }
}
