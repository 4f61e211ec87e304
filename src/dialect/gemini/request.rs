//! The request of a generation: the model, the purpose and the identifiers that it names.

use std::sync::LazyLock;

use super::request_id::{RequestId, trajectory_of_label};
use crate::dialect::request::{ReadRequest, id, model};
use crate::observe::json::{Paths, Value};
use crate::record::{CallIds, CorrelationMethod, Id, Model, Operation};

/// What is read of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum RequestField {
    /// The last execution.
    Execution,
    /// How hard the model should think.
    ThinkingLevel,
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

/// Reads the body of a generation or of an interaction.
#[derive(Debug)]
pub(in crate::dialect) struct GeminiRequest {
    paths: &'static Paths<RequestField>,
    model: Option<Model>,
    nested_model: Option<Model>,
    /// The purpose, when it is a particular one.
    purpose: Option<Operation>,
    /// The identifiers that stand in fields of their own.
    ids: CallIds,
    labelled_request: Option<Id>,
    prompt: Option<Id>,
    thinking_level: Option<Id>,
}

impl GeminiRequest {
    /// A request to generate.
    pub(in crate::dialect) fn generation() -> Self {
        Self::new(&GENERATION)
    }

    /// A request for an interaction.
    pub(super) fn interaction() -> Self {
        Self::new(&INTERACTION)
    }

    fn new(paths: &'static Paths<RequestField>) -> Self {
        Self {
            paths,
            model: None,
            nested_model: None,
            purpose: None,
            ids: CallIds::default(),
            labelled_request: None,
            prompt: None,
            thinking_level: None,
        }
    }
}

impl ReadRequest for GeminiRequest {
    type Field = RequestField;

    fn paths(&self) -> &'static Paths<RequestField> {
        self.paths
    }

    fn value(&mut self, field: RequestField, value: Value<'_>) {
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
            RequestField::ThinkingLevel => self.thinking_level = id,
            RequestField::Trajectory => self.ids.labelled_trajectory = id,
        }
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref().or(self.nested_model.as_ref())
    }

    fn operation(&self) -> Option<Operation> {
        self.purpose
    }

    fn reasoning_level(&self) -> Option<&Id> {
        self.thinking_level.as_ref()
    }

    /// The identifiers of the call, those that others hold inside included.
    fn ids(&self) -> CallIds {
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

    fn method(&self) -> CorrelationMethod {
        let ids = self.ids();
        if ids.conversation.is_some() || ids.trajectory.is_some() {
            CorrelationMethod::RequestId
        } else if ids.labelled_trajectory.is_some() {
            CorrelationMethod::Labels
        } else {
            CorrelationMethod::None
        }
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

static GENERATION: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
    Paths::new([
        (
            "generationConfig.thinkingConfig.thinkingLevel",
            RequestField::ThinkingLevel,
        ),
        (
            "request.generationConfig.thinkingConfig.thinkingLevel",
            RequestField::ThinkingLevel,
        ),
        ("model", RequestField::Model),
        ("request.model", RequestField::NestedModel),
        ("requestId", RequestField::RequestId),
        // gemini-cli's, which has no `requestId`.
        ("user_prompt_id", RequestField::Prompt),
        ("requestType", RequestField::RequestType),
        ("request.sessionId", RequestField::Session),
        ("request.session_id", RequestField::Session),
        ("request.labels.trajectory_id", RequestField::Trajectory),
        ("request.labels.request_id", RequestField::LabelledRequest),
        ("request.labels.last_execution_id", RequestField::Execution),
        ("request.labels.last_step_index", RequestField::Step),
    ])
});

static INTERACTION: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
    Paths::new([
        ("model", RequestField::Model),
        // Asked for instead of a model: `deep-research`, `antigravity`.
        ("agent", RequestField::NestedModel),
    ])
});
