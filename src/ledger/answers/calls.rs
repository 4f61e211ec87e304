//! The shape of the answers of `/v1/calls/{id}`.

use serde::Serialize;

use crate::ledger::memory::call::CallRecord;
use crate::record::Id;

/// A call with the conversation that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallDetails {
    /// Its conversation, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Id>,
    /// The call.
    #[serde(flatten)]
    pub call: CallRecord,
}
