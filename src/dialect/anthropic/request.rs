//! The request of a message: its model, and the conversation that Claude Code names in a header
//! field.

use std::sync::LazyLock;

use crate::dialect::request::{ReadRequest, model};
use crate::observe::exchange::RequestHead;
use crate::observe::json::{Paths, Value};
use crate::record::{CallIds, CorrelationMethod, Id, Model};

/// The header field in which Claude Code names its conversation, in every request.
pub(super) const SESSION: &str = "x-claude-code-session-id";

/// Reads the body of a request.
#[derive(Debug, Default)]
pub(in crate::dialect) struct MessageRequest {
    model: Option<Model>,
    session: Option<Id>,
}

/// The only value that is read: the model.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct NamedModel;

impl ReadRequest for MessageRequest {
    type Field = NamedModel;

    fn paths(&self) -> &'static Paths<NamedModel> {
        static PATHS: LazyLock<Paths<NamedModel>> =
            LazyLock::new(|| Paths::new([("model", NamedModel)]));
        &PATHS
    }

    fn head(&mut self, head: &RequestHead) {
        self.session = head.fields.get(SESSION).and_then(Id::from_wire);
    }

    fn value(&mut self, _: NamedModel, value: Value<'_>) {
        self.model = model(value);
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn ids(&self) -> CallIds {
        CallIds {
            conversation: self.session.clone(),
            ..CallIds::default()
        }
    }

    fn method(&self) -> CorrelationMethod {
        match self.session {
            Some(_) => CorrelationMethod::Header,
            None => CorrelationMethod::None,
        }
    }
}
