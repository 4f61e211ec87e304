//! A request as a call of a model, before and after its body is known: for what decides on requests
//! while they are on their way.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use super::form::{self, RequestForm};
use super::realtime::RealtimeHead;
use super::{CallHead, Recognised, is_private, listed, recognise};
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::RequestHead;
use crate::observe::memory::Memory;
use crate::observe::request_head;
use crate::record::{Host, Id, Model, Operation, Provider};

/// A request that asks for a call, or opens a WebSocket for calls.
pub struct AskedCall {
    provider: Provider,
    form: &'static RequestForm,
    kind: Kind,
}

/// How the call is asked for.
enum Kind {
    Call { call: CallHead, head: RequestHead },
    Socket,
}

/// What a request asks for, once its body is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The model.
    pub model: Model,
    /// What the call is for.
    pub operation: Operation,
    /// Whether a subagent asks.
    pub is_subagent: bool,
    /// The subagent that asks, by its id in the conversation.
    pub subagent: Option<Id>,
    /// What kind of subagent that is, in the agent's own word.
    pub subagent_kind: Option<Id>,
}

impl AskedCall {
    /// Reads the head of a request; `None` if it asks for no call that is read, or is private.
    #[must_use]
    pub fn of(
        host: &Host,
        method: &Method,
        target: &PathAndQuery,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let mut head = request_head(method.as_str(), target.as_str(), fields, listed());
        if is_private(host, &head) {
            return None;
        }
        match recognise(host, &head)? {
            Recognised::Call(call) => {
                // The body comes without its coding.
                head.fields.content_encoding = Vec::new();
                Some(Self {
                    provider: call.provider,
                    form: call.form,
                    kind: Kind::Call { call, head },
                })
            }
            Recognised::Session(CallHead { provider, form, .. })
            | Recognised::Realtime(RealtimeHead { provider, form, .. }) => Some(Self {
                provider,
                form,
                kind: Kind::Socket,
            }),
            Recognised::Notice(_) => None,
        }
    }

    /// Who is asked.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Where the request has what may be changed.
    #[must_use]
    pub fn form(&self) -> &'static RequestForm {
        self.form
    }

    /// Whether the request opens a WebSocket: what is asked for comes over that.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        matches!(self.kind, Kind::Socket)
    }

    /// The model, where the path names it.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        match &self.kind {
            Kind::Call { call, .. } => call.model.as_ref(),
            Kind::Socket => None,
        }
    }

    /// What the call is for, where the body cannot say it more closely.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        match &self.kind {
            Kind::Call { call, .. } => Some(call.operation).filter(|of| *of != Operation::Chat),
            Kind::Socket => None,
        }
    }

    /// What the request asks for, by its head and its whole body, which comes without content
    /// coding.
    #[must_use]
    pub fn read(&self, body: &[u8]) -> Option<Asked> {
        let Kind::Call { call, head } = &self.kind else {
            return None;
        };
        let mut reader = (call.request)(head, &Memory::default());
        let mut rest = body;
        while !rest.is_empty() {
            let read = reader.feed(rest, &mut DecodeLimit::default()).ok()?;
            rest = rest.get(read..).unwrap_or_default();
        }
        let ids = reader.ids();
        let model = call.model.as_ref().or_else(|| reader.model());
        Some(Asked {
            model: model.cloned().unwrap_or_else(Model::unknown),
            operation: match call.operation {
                Operation::Chat => reader.operation().unwrap_or(Operation::Chat),
                other => other,
            },
            is_subagent: ids.subagent.is_some(),
            subagent: ids.subagent,
            subagent_kind: ids.subagent_kind,
        })
    }

    /// The same target with another model in its path; `None` where the path names none.
    #[must_use]
    pub fn target_with_model(&self, target: &PathAndQuery, model: &Model) -> Option<PathAndQuery> {
        self.model()?;
        let path = form::with_model(target.path(), model.as_str())?;
        let query = target.query().map(|query| format!("?{query}"));
        format!("{path}{}", query.unwrap_or_default()).parse().ok()
    }
}

impl std::fmt::Debug for AskedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskedCall")
            .field("provider", &self.provider)
            .field("is_socket", &self.is_socket())
            .finish_non_exhaustive()
    }
}
