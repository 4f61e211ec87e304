//! The request of a generation: the model, the purpose, the settings and the identifiers that it
//! names.

use std::sync::LazyLock;

use super::request_id::{RequestId, trajectory_of_label};
use crate::dialect::request::{ReadRequest, id, model};
use crate::dialect::settings::Setting;
use crate::observe::json::{Paths, Value};
use crate::record::{CallIds, CorrelationMethod, Id, Model, Operation, RequestSettings};

/// What is read of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum RequestField {
    /// The last execution.
    Execution,
    /// The label of the call: `<trajectory>-<n>`.
    LabelledRequest,
    /// The model, where a body names it at its top.
    Model,
    /// The model, where it stands inside the wrapped request, or the agent that is asked instead of
    /// one.
    NestedModel,
    /// The interaction that this one continues.
    PreviousInteraction,
    /// The prompt that the call answers: all that an agent without ids of calls sends.
    Prompt,
    /// The agent's own id of the call. Its first part may tell the purpose: `checkpoint/<uuid>`.
    RequestId,
    /// The purpose: `agent`, `checkpoint`, `image_gen`, `web_search`.
    RequestType,
    /// The session.
    Session,
    Setting(Setting),
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
    settings: RequestSettings,
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
            settings: RequestSettings::default(),
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
            RequestField::PreviousInteraction => self.ids.previous_response = id,
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
            RequestField::Setting(setting) => setting.take(value, &mut self.settings),
            RequestField::Step => self.ids.step = id,
            RequestField::Trajectory => self.ids.labelled_trajectory = id,
        }
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref().or(self.nested_model.as_ref())
    }

    fn operation(&self) -> Option<Operation> {
        self.purpose
    }

    fn settings(&self) -> RequestSettings {
        self.settings.clone()
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
    let settings = ["", "request."].into_iter().flat_map(|place| {
        let both = SETTINGS.into_iter().chain(SETTINGS_IN_SNAKE_CASE);
        both.map(move |(path, setting)| (format!("{place}{path}"), RequestField::Setting(setting)))
    });
    let others = OF_GENERATION.map(|(path, field)| (path.to_owned(), field));
    Paths::new(others.into_iter().chain(settings))
});

const OF_GENERATION: [(&str, RequestField); 11] = [
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
];

/// Where the settings of a generation stand; the API takes names in snake_case, too.
const SETTINGS: [(&str, Setting); 10] = [
    ("generationConfig.candidateCount", Setting::Choices),
    (
        "generationConfig.frequencyPenalty",
        Setting::FrequencyPenalty,
    ),
    ("generationConfig.maxOutputTokens", Setting::MaxTokens),
    ("generationConfig.presencePenalty", Setting::PresencePenalty),
    ("generationConfig.responseMimeType", Setting::OutputType),
    ("generationConfig.seed", Setting::Seed),
    ("generationConfig.temperature", Setting::Temperature),
    (
        "generationConfig.thinkingConfig.thinkingLevel",
        Setting::ReasoningLevel,
    ),
    ("generationConfig.topK", Setting::TopK),
    ("generationConfig.topP", Setting::TopP),
];

const SETTINGS_IN_SNAKE_CASE: [(&str, Setting); 10] = [
    ("generation_config.candidate_count", Setting::Choices),
    (
        "generation_config.frequency_penalty",
        Setting::FrequencyPenalty,
    ),
    ("generation_config.max_output_tokens", Setting::MaxTokens),
    (
        "generation_config.presence_penalty",
        Setting::PresencePenalty,
    ),
    ("generation_config.response_mime_type", Setting::OutputType),
    ("generation_config.seed", Setting::Seed),
    ("generation_config.temperature", Setting::Temperature),
    (
        "generation_config.thinking_config.thinking_level",
        Setting::ReasoningLevel,
    ),
    ("generation_config.top_k", Setting::TopK),
    ("generation_config.top_p", Setting::TopP),
];

static INTERACTION: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
    let settings =
        SETTINGS_OF_INTERACTION.map(|(path, setting)| (path, RequestField::Setting(setting)));
    let others = [
        ("model", RequestField::Model),
        // Asked for instead of a model: `deep-research`, `antigravity`.
        ("agent", RequestField::NestedModel),
        ("previous_interaction_id", RequestField::PreviousInteraction),
    ];
    Paths::new(others.into_iter().chain(settings))
});

const SETTINGS_OF_INTERACTION: [(&str, Setting); 5] = [
    ("generation_config.max_output_tokens", Setting::MaxTokens),
    ("generation_config.seed", Setting::Seed),
    ("generation_config.temperature", Setting::Temperature),
    ("generation_config.thinking_level", Setting::ReasoningLevel),
    ("generation_config.top_p", Setting::TopP),
];
