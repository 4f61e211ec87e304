//! The body of a request in, the model and the identifiers it names out. Nothing else of the body
//! is kept.

use super::gemini::request_id::{RequestId, trajectory_of_label};
use crate::observe::coding::{CodingError, Decoder};
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::observe::memory::Memory;
use crate::record::{CallIds, CorrelationMethod, Id, Model, ObserverFailure, Operation};

/// What the house reads of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestField {
    /// The last execution.
    Execution,
    /// The label of the call: `<trajectory>-<n>`.
    LabelledRequest,
    /// The model, where a body names it at its top.
    Model,
    /// The model, where it stands inside the wrapped request, or the agent that is asked instead of
    /// one.
    NestedModel,
    /// The prompt that the call answers: all that an agent without ids of calls sends.
    Prompt,
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
    /// The identifiers that stand in fields of their own.
    ids: CallIds,
    labelled_request: Option<Id>,
    prompt: Option<Id>,
}

impl RequestBody {
    /// A reader for the body with these codings, whose windows come out of `memory`.
    pub(super) fn new(
        paths: &'static Paths<RequestField>,
        codings: &[String],
        memory: &Memory,
    ) -> Self {
        Self {
            decoder: Decoder::new(codings, memory),
            reader: PathReader::new(paths),
            asked: Asked::default(),
        }
    }

    /// Reads the next bytes. An error is final and comes again with every later call.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), ObserverFailure> {
        let Self {
            decoder,
            reader,
            asked,
        } = self;
        let decoder = decoder.as_mut().map_err(|error| *error)?;
        decoder.feed(bytes, &mut |plain| {
            reader.feed(plain, &mut |field, value| asked.take(field, value));
        })?;
        if reader.status() == Status::Malformed {
            decoder.ignore_rest();
            return Err(ObserverFailure::MalformedJson);
        }
        Ok(())
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
            RequestField::LabelledRequest => self.labelled_request = id,
            RequestField::Model => self.model = model(value),
            RequestField::NestedModel => self.nested_model = model(value),
            RequestField::Prompt => self.prompt = id,
            RequestField::RequestId => {
                let purpose = id
                    .as_ref()
                    .and_then(|id| purpose(RequestId::parse(id.as_str()).kind));
                self.purpose = self.purpose.or(purpose);
                self.ids.request = id;
            }
            RequestField::RequestType => {
                self.purpose = id.and_then(|id| purpose(id.as_str())).or(self.purpose)
            }
            RequestField::Session => self.ids.session = id,
            RequestField::Step => self.ids.step = id,
            RequestField::Trajectory => self.ids.labelled_trajectory = id,
        }
    }

    /// The identifiers of the call, those that others hold inside included.
    pub(super) fn ids(&self) -> CallIds {
        let of_request = self
            .ids
            .request
            .as_ref()
            .map(|id| RequestId::parse(id.as_str()))
            .unwrap_or_default();
        let label = || {
            Id::from_wire(trajectory_of_label(
                self.labelled_request.as_ref()?.as_str(),
            )?)
        };
        let mut ids = self.ids.clone();
        // What a prompt is called says nothing of a conversation, whatever it looks like.
        ids.request = ids.request.or_else(|| self.prompt.clone());
        ids.conversation = of_request.conversation.and_then(Id::from_wire);
        ids.trajectory = of_request.trajectory.and_then(Id::from_wire);
        ids.unexplained = of_request.unexplained.and_then(Id::from_wire);
        ids.labelled_trajectory = ids.labelled_trajectory.or_else(label);
        ids.step = ids.step.or_else(|| Id::from_wire(of_request.step?));
        ids
    }
}

/// Which of a call's identifiers names its conversation, or a trajectory of it.
pub(super) fn method(ids: &CallIds) -> CorrelationMethod {
    if ids.conversation.is_some() || ids.trajectory.is_some() {
        CorrelationMethod::RequestId
    } else if ids.labelled_trajectory.is_some() {
        CorrelationMethod::Labels
    } else {
        CorrelationMethod::None
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
