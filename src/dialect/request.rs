//! The interface for requests: a dialect names the values that it reads of the body of a call
//! ([`ReadRequest`]); the reader here decodes the body and finds them. Nothing else is kept.

use crate::observe::coding::{CodingError, DecodeLimit, Decoder};
use crate::observe::exchange::RequestHead;
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::observe::memory::Memory;
use crate::record::{
    CallIds, CorrelationMethod, Id, Model, ObserverFailure, Operation, RepositoryName,
    RequestSettings, Turn,
};

/// Reads the JSON document that is the body of a call.
pub(super) trait ReadRequest: Send {
    /// What is read of it.
    type Field: Copy + Send + Sync + 'static;

    /// Where the values stand that are read.
    fn paths(&self) -> &'static Paths<Self::Field>;

    /// Takes the head of the request, before its body.
    fn head(&mut self, _: &RequestHead) {}

    /// Takes a value.
    fn value(&mut self, field: Self::Field, value: Value<'_>);

    /// Whether the document is a call. Over a WebSocket, an agent sends other messages, too.
    fn asks(&self) -> bool {
        true
    }

    /// The model that the body names.
    fn model(&self) -> Option<&Model>;

    /// What the body says the call is for, when it says more than the path.
    fn operation(&self) -> Option<Operation> {
        None
    }

    /// The identifiers of the call.
    fn ids(&self) -> CallIds {
        CallIds::default()
    }

    /// Which of them identifies its conversation, or a trajectory of it.
    fn method(&self) -> CorrelationMethod {
        CorrelationMethod::None
    }

    /// What the request says of its agent's turn.
    fn turn(&self) -> Turn {
        Turn::default()
    }

    /// How the answer is to be generated.
    fn settings(&self) -> RequestSettings {
        RequestSettings::default()
    }

    /// Whether the conversation that it brings has been shortened, where it says so.
    fn is_compacted(&self) -> bool {
        false
    }

    /// The repository that the agent says it works in.
    fn repository(&self) -> Option<&RepositoryName> {
        None
    }
}

/// The reader of one request's body, whatever its dialect.
pub(super) trait ReadRequestBody: Send {
    /// Reads the next bytes, until the limit is reached. Returns how many are read; those that are
    /// left must come again. An error is final and comes again with every later call.
    fn feed(&mut self, bytes: &[u8], limit: &mut DecodeLimit) -> Result<usize, ObserverFailure>;

    /// As [`ReadRequest::asks`], of a document that is complete and is JSON.
    fn asks(&self) -> bool;

    /// As [`ReadRequest::model`].
    fn model(&self) -> Option<&Model>;

    /// As [`ReadRequest::operation`].
    fn operation(&self) -> Option<Operation>;

    /// As [`ReadRequest::ids`].
    fn ids(&self) -> CallIds;

    /// As [`ReadRequest::method`].
    fn method(&self) -> CorrelationMethod;

    /// As [`ReadRequest::turn`].
    fn turn(&self) -> Turn;

    /// As [`ReadRequest::settings`].
    fn settings(&self) -> RequestSettings;

    /// As [`ReadRequest::is_compacted`].
    fn is_compacted(&self) -> bool;

    /// As [`ReadRequest::repository`].
    fn repository(&self) -> Option<&RepositoryName>;
}

/// A reader for the body that follows the head. The windows of its decoders count in `memory`.
pub(super) fn json_request<R: ReadRequest + 'static>(
    head: &RequestHead,
    memory: &Memory,
    mut request: R,
) -> Box<dyn ReadRequestBody> {
    request.head(head);
    Box::new(RequestBody {
        decoder: Decoder::new(&head.fields.content_encoding, memory),
        reader: PathReader::new(request.paths()),
        request,
    })
}

struct RequestBody<R: ReadRequest> {
    decoder: Result<Decoder, CodingError>,
    reader: PathReader<R::Field>,
    request: R,
}

impl<R: ReadRequest> ReadRequestBody for RequestBody<R> {
    fn feed(&mut self, bytes: &[u8], limit: &mut DecodeLimit) -> Result<usize, ObserverFailure> {
        let Self {
            decoder,
            reader,
            request,
        } = self;
        let decoder = decoder.as_mut().map_err(|error| *error)?;
        let read = decoder.feed_some(bytes, limit, &mut |plain| {
            reader.feed(plain, &mut |field, value| request.value(field, value));
        })?;
        if reader.status() == Status::Malformed {
            decoder.ignore_rest();
            return Err(ObserverFailure::MalformedJson);
        }
        Ok(read)
    }

    fn asks(&self) -> bool {
        self.reader.status() == Status::Complete && self.request.asks()
    }

    fn model(&self) -> Option<&Model> {
        self.request.model()
    }

    fn operation(&self) -> Option<Operation> {
        self.request.operation()
    }

    fn ids(&self) -> CallIds {
        self.request.ids()
    }

    fn method(&self) -> CorrelationMethod {
        self.request.method()
    }

    fn turn(&self) -> Turn {
        self.request.turn()
    }

    fn settings(&self) -> RequestSettings {
        self.request.settings()
    }

    fn is_compacted(&self) -> bool {
        self.request.is_compacted()
    }

    fn repository(&self) -> Option<&RepositoryName> {
        self.request.repository()
    }
}

/// The identifier that a value holds. Numbers count as the same text without quotes.
pub(super) fn id(value: Value<'_>) -> Option<Id> {
    match value {
        Value::Number(text) | Value::String { text, cut: false } => Id::from_wire(text),
        _ => None,
    }
}

/// The model that a value names.
pub(super) fn model(value: Value<'_>) -> Option<Model> {
    match value {
        Value::String { text, .. } if !text.is_empty() => Some(Model::from_wire(text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_without_a_name_is_none() {
        let named = |text| model(Value::String { text, cut: false });
        assert_eq!(named("m"), Some(Model::from_wire("m")));
        assert_eq!(named(""), None);
        assert_eq!(model(Value::Null), None);
    }
}
