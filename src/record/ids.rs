//! Identifiers of calls and conversations as they stand on the wire; they never become labels.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A bounded, printable identifier from the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Id(Arc<str>);

impl Id {
    /// Longer values are not identifiers and are refused: the longest known form
    /// (`agent/<uuid>/<ms>/<uuid>/<n>`) has 96 bytes.
    pub const MAX_BYTES: usize = 256;

    /// Accepts a printable ASCII identifier, refuses anything else.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= Self::MAX_BYTES;
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.into()))
    }

    /// The identifier's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifiers that one call carries, as far as they were seen. None is ever guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallIds {
    /// The agent's own id of the call (`requestId`).
    pub request: Option<Id>,
    /// The session (`request.sessionId`).
    pub session: Option<Id>,
    /// The conversation that `requestId` or a header field names.
    pub conversation: Option<Id>,
    /// The agent within the conversation that makes the call, where it is not the main one: Claude
    /// Code's `x-claude-code-agent-id`, the thread of a Codex subagent.
    pub subagent: Option<Id>,
    /// The subagent that has started that one; `None` where the main agent has.
    pub parent_subagent: Option<Id>,
    /// What kind of subagent it is, in the agent's own word (`Explore`, `review`).
    pub subagent_kind: Option<Id>,
    /// The trajectory that `requestId` names.
    pub trajectory: Option<Id>,
    /// A UUID in `requestId` of which the form does not say what it identifies
    /// (`checkpoint/<uuid>`). It assigns a call only if a conversation or trajectory is known to
    /// have that id.
    pub unexplained: Option<Id>,
    /// The trajectory of the labels (`request.labels.trajectory_id`).
    pub labelled_trajectory: Option<Id>,
    /// The last execution (`request.labels.last_execution_id`).
    pub execution: Option<Id>,
    /// The last step's index (`request.labels.last_step_index`).
    pub step: Option<Id>,
    /// The provider's trace id (`traceId`).
    pub provider_trace: Option<Id>,
    /// The provider's id of the response (`responseId`).
    pub response: Option<Id>,
    /// The response that the request continues, by the provider's id of it
    /// (`previous_response_id`).
    pub previous_response: Option<Id>,
}
