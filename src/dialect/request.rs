//! The body of a request in, the model and the identifiers it names out. Nothing else of the body is kept.

use crate::observe::coding::{CodingError, Decoder};
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::record::{CallIds, Id, Model, ObserverFailure, Operation};

/// What the house reads of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestField {
    /// The last execution.
    Execution,
    /// The model, where a body names it at its top.
    Model,
    /// The model, where it stands inside the wrapped request.
    NestedModel,
    /// The agent's own id of the call. Its first part may tell the purpose: `checkpoint/<uuid>`.
    RequestId,
    /// The purpose: `agent`, `checkpoint`, `image_gen`, `web_search`.
    RequestType,
    /// The session.
    Session,
    /// The last step's index.
    Step,
    /// The trajectory.
    Trajectory,
}

/// Reads one request's body.
pub(super) struct RequestBody {
    decoder: Result<Decoder, CodingError>,
    reader: PathReader<RequestField>,
    asked: Asked,
}

/// What was found in the body so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) model: Option<Model>,
    pub(super) nested_model: Option<Model>,
    /// The purpose, when it is a particular one.
    pub(super) purpose: Option<Operation>,
    pub(super) ids: CallIds,
}

impl RequestBody {
    pub(super) fn new(paths: &'static Paths<RequestField>, codings: &[String]) -> Self {
        Self { decoder: Decoder::new(codings), reader: PathReader::new(paths), asked: Asked::default() }
    }

    /// Reads the next bytes. An error is final and comes again with every later call.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), ObserverFailure> {
        let Self { decoder, reader, asked } = self;
        let decoder = decoder.as_mut().map_err(|error| *error)?;
        decoder.feed(bytes, &mut |plain| {
            reader.feed(plain, &mut |field, value| asked.take(field, value));
        })?;
        if reader.status() == Status::Malformed { Err(ObserverFailure::MalformedJson) } else { Ok(()) }
    }

    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }
}

impl Asked {
    fn take(&mut self, field: RequestField, value: Value<'_>) {
        let id = id(value);
        match field {
            RequestField::Execution => self.ids.execution = id,
            RequestField::Model => self.model = model(value),
            RequestField::NestedModel => self.nested_model = model(value),
            RequestField::RequestId => {
                let purpose = id.as_ref().and_then(|id| purpose(id.as_str().split('/').next()?));
                self.purpose = self.purpose.or(purpose);
                self.ids.request = id;
            }
            RequestField::RequestType => self.purpose = id.and_then(|id| purpose(id.as_str())).or(self.purpose),
            RequestField::Session => self.ids.session = id,
            RequestField::Step => self.ids.step = id,
            RequestField::Trajectory => self.ids.labelled_trajectory = id,
        }
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

fn purpose(text: &str) -> Option<Operation> {
    match text {
        "checkpoint" => Some(Operation::Checkpoint),
        "image_gen" => Some(Operation::ImageGeneration),
        "web_search" => Some(Operation::WebSearch),
        _ => None,
    }
}
