//! What was spent since a time, for budgets.

use jiff::Timestamp;

use super::answers::query;
use super::{Ledger, QueryError, SpentBy};
use crate::record::SubjectTotals;

impl Ledger {
    /// What was spent from then on; `None` where calls of that time are not kept any more, and their
    /// sums are not apart in this way. Blocks while the file is read.
    ///
    /// # Errors
    /// [`QueryError`] when the file cannot be read.
    pub fn spent(
        &self,
        since: Timestamp,
        by: SpentBy,
    ) -> Result<Option<Vec<SubjectTotals>>, QueryError> {
        let Some(disk) = &self.disk else {
            return Ok(None);
        };
        let ask = |connection: &_| query::spent(connection, since, by, &self.models);
        Ok(disk.read(ask)?)
    }
}
