//! The request: its model, the conversation that Codex names in header fields, and whether it asks
//! for that conversation to be shortened.

use std::sync::LazyLock;

use crate::dialect::request::{ReadRequest, id, model};
use crate::observe::exchange::RequestHead;
use crate::observe::json::{Paths, Value};
use crate::record::{CallIds, CorrelationMethod, Id, Model, Operation};

/// The header fields in which Codex names its conversation, the most comprehensive first. It sends
/// several of them, in both spellings.
pub(super) const CONVERSATION: [&str; 5] = [
    "session_id",
    "session-id",
    "thread_id",
    "thread-id",
    "conversation_id",
];

/// The item of the input by which Codex asks for a compaction where it has no path of its own (seen
/// of 0.171.0, `responses_compaction_v2`). Its answer stands in later inputs as a `compaction`.
const COMPACTION_TRIGGER: &str = "compaction_trigger";

/// Reads the body of a request, or a message of the agent over a socket.
#[derive(Debug, Default)]
pub(super) struct OpenAiRequest {
    is_message: bool,
    /// The message is one that asks for a response.
    creates: bool,
    /// It asks for none but to warm up the cache.
    only_warms_up: bool,
    /// It asks for a shorter conversation.
    compacts: bool,
    model: Option<Model>,
    conversation: Option<Id>,
}

impl OpenAiRequest {
    /// A message over a socket: only `response.create` asks for a call.
    pub(super) fn over_socket() -> Self {
        Self {
            is_message: true,
            ..Self::default()
        }
    }
}

/// What is read of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestField {
    /// The conversation, where messages over a socket name it.
    Conversation,
    /// Whether anything is to be generated.
    Generate,
    /// What kind of item a part of the input is.
    InputType,
    Model,
    /// The kind of message.
    Type,
}

impl ReadRequest for OpenAiRequest {
    type Field = RequestField;

    fn paths(&self) -> &'static Paths<RequestField> {
        static PATHS: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
            Paths::new([
                ("client_metadata.session_id", RequestField::Conversation),
                ("generate", RequestField::Generate),
                ("input[].type", RequestField::InputType),
                ("model", RequestField::Model),
                ("type", RequestField::Type),
            ])
        });
        &PATHS
    }

    fn head(&mut self, head: &RequestHead) {
        let values = CONVERSATION.iter().filter_map(|name| head.fields.get(name));
        self.conversation = values.filter_map(Id::from_wire).next();
    }

    fn value(&mut self, field: RequestField, value: Value<'_>) {
        match (field, value) {
            (RequestField::Conversation, _) if self.is_message => {
                self.conversation = id(value).or(self.conversation.take());
            }
            (RequestField::Generate, Value::Bool(false)) => self.only_warms_up = true,
            (RequestField::InputType, Value::String { text, .. }) => {
                self.compacts |= text == COMPACTION_TRIGGER;
            }
            (RequestField::Model, _) => self.model = model(value),
            (RequestField::Type, Value::String { text, .. }) => {
                self.creates = text == "response.create";
            }
            (
                RequestField::Conversation
                | RequestField::Generate
                | RequestField::InputType
                | RequestField::Type,
                _,
            ) => {}
        }
    }

    fn asks(&self) -> bool {
        !self.is_message || (self.creates && !self.only_warms_up)
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn operation(&self) -> Option<Operation> {
        self.compacts.then_some(Operation::Compact)
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
