//! The request: its model, and the conversation that Codex names in header fields.

use std::sync::LazyLock;

use crate::dialect::request::{ReadRequest, model};
use crate::observe::exchange::RequestHead;
use crate::observe::json::{Paths, Value};
use crate::record::{CallIds, CorrelationMethod, Id, Model};

/// The header fields in which Codex names its conversation, the most comprehensive first. It sends
/// several of them, in both spellings.
pub(super) const CONVERSATION: [&str; 5] = [
    "session_id",
    "session-id",
    "thread_id",
    "thread-id",
    "conversation_id",
];

/// Reads the body of a request.
#[derive(Debug, Default)]
pub(super) struct OpenAiRequest {
    model: Option<Model>,
    conversation: Option<Id>,
}

/// The only value that is read: the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedModel;

impl ReadRequest for OpenAiRequest {
    type Field = NamedModel;

    fn paths(&self) -> &'static Paths<NamedModel> {
        static PATHS: LazyLock<Paths<NamedModel>> =
            LazyLock::new(|| Paths::new([("model", NamedModel)]));
        &PATHS
    }

    fn head(&mut self, head: &RequestHead) {
        let values = CONVERSATION.iter().filter_map(|name| head.fields.get(name));
        self.conversation = values.filter_map(Id::from_wire).next();
    }

    fn value(&mut self, _: NamedModel, value: Value<'_>) {
        self.model = model(value);
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn ids(&self) -> CallIds {
        CallIds {
            conversation: self.conversation.clone(),
            ..CallIds::default()
        }
    }

    fn method(&self) -> CorrelationMethod {
        match self.conversation {
            Some(_) => CorrelationMethod::Header,
            None => CorrelationMethod::None,
        }
    }
}
