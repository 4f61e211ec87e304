//! Google's family: Cloud Code (the API of Antigravity and gemini-cli), the public Gemini API and
//! Vertex AI.
//!
//! One wire format in three places: Cloud Code wraps request and response once more (`request.`,
//! `response.`), the others name the model in the path. Streams come as SSE (`alt=sse`) or as one
//! JSON array of frames. Sources: googleapis/js-genai `src/types.ts`, google-gemini/gemini-cli
//! `packages/core/src/code_assist`, and the REST references of the Gemini API and of Vertex AI.

pub(super) mod answer;
mod ending;
pub(super) mod paths;
mod refusal;
pub(super) mod request_id;
pub(super) mod telemetry;
#[cfg(test)]
mod tests;
pub(super) mod usage;

use std::sync::LazyLock;

use super::request::RequestField;
use super::{AnswerShape, CallHead, Notice, Recognised, Tells};
use crate::observe::exchange::RequestHead;
use crate::observe::json::Paths;
use crate::record::{Host, Model, Operation, Provider};

pub(super) use refusal::timestamp;

/// Recognises `POST .../{resource}:{method}` and `POST .../interactions` by the shape of the path;
/// the host tells the provider, where it is known. A GET of an interaction reads again what was
/// counted when it was made, and is no call.
pub(super) fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    let path = head
        .path
        .strip_prefix('/')
        .filter(|_| head.method == "POST")?;
    let (resource, method) = match path.rsplit_once(':') {
        Some((resource, method)) => (resource, Some(method)),
        None => (path, None),
    };
    let (by_shape, model) = resource_shape(resource, method.is_some())?;
    let provider = provider_of(host).unwrap_or(by_shape);
    if let Some((operation, answer)) = operation(method, by_shape, resource) {
        let request = if method.is_some() {
            &REQUEST
        } else {
            &INTERACTION_REQUEST
        };
        let model = model.map(Model::from_wire);
        return Some(Recognised::Call(CallHead {
            provider,
            operation,
            model,
            request,
            answer,
        }));
    }
    let (_, tells) = NOTICES
        .into_iter()
        .find(|(name, _)| Some(*name) == method && by_shape == Provider::CloudCode)?;
    Some(Recognised::Notice(Notice { provider, tells }))
}

/// What a method generates, and how it answers; a resource without a method is an interaction.
/// Control and telemetry calls (`loadCodeAssist`, ...) generate nothing. What models of Google
/// `predict` are images or vectors; what a model of one's own predicts can be anything.
fn operation(
    method: Option<&str>,
    by_shape: Provider,
    resource: &str,
) -> Option<(Operation, AnswerShape)> {
    let is_cloud_code = by_shape == Provider::CloudCode;
    match method {
        None => Some((Operation::Chat, AnswerShape::Interaction)),
        Some("countTokens") => Some((Operation::CountTokens, AnswerShape::Generation)),
        Some("generateContent" | "streamGenerateContent") => {
            Some((Operation::Chat, AnswerShape::Generation))
        }
        Some("tabChat") if is_cloud_code => {
            Some((Operation::Autocomplete, AnswerShape::Generation))
        }
        Some("batchEmbedContents" | "embedContent") if !is_cloud_code => {
            Some((Operation::Embeddings, AnswerShape::Generation))
        }
        Some("predict") if resource.contains("/imagen") => {
            Some((Operation::ImageGeneration, AnswerShape::Prediction))
        }
        Some("predict") if resource.contains("/publishers/google/models/") => {
            Some((Operation::Embeddings, AnswerShape::Prediction))
        }
        Some(_) => None,
    }
}

/// Methods of Cloud Code that generate nothing, but tell something.
const NOTICES: [(&str, Tells); 5] = [
    ("fetchAvailableModels", Tells::Quotas),
    ("recordCodeAssistMetrics", Tells::Ids),
    ("recordTrajectoryAnalytics", Tells::Ids),
    ("retrieveUserQuota", Tells::Quotas),
    ("retrieveUserQuotaSummary", Tells::Quotas),
];

/// Whose resources look like this, and the model that is named: a tuned one by the number of its
/// endpoint. Only interactions are called without a method.
fn resource_shape(resource: &str, has_method: bool) -> Option<(Provider, Option<&str>)> {
    let segments: Vec<&str> = resource.split('/').take(MAX_SEGMENTS + 1).collect();
    let (version, is_in_project, rest) = match segments.as_slice() {
        [version, "projects", _, "locations", _, rest @ ..] => (*version, true, rest),
        [version, rest @ ..] => (*version, false, rest),
        [] => return None,
    };
    let is_gemini = !is_in_project && matches!(version, "v1" | "v1alpha" | "v1beta");
    let is_vertex = matches!(version, "v1" | "v1beta1");
    match (rest, has_method) {
        ([], true) if version == "v1internal" => Some((Provider::CloudCode, None)),
        (["models" | "tunedModels" | "dynamic", model], true) if is_gemini => {
            Some((Provider::Gemini, Some(model)))
        }
        (["publishers", "google", "models", model], true) if is_vertex => {
            Some((Provider::VertexAi, Some(model)))
        }
        (["endpoints", model], true) if is_vertex && is_in_project => {
            Some((Provider::VertexAi, Some(model)))
        }
        (["interactions"], false) if is_gemini => Some((Provider::Gemini, None)),
        (["interactions"], false) if is_vertex && is_in_project => Some((Provider::VertexAi, None)),
        _ => None,
    }
}

/// The longest shape of [`resource_shape`].
const MAX_SEGMENTS: usize = 9;

/// `{,daily-,autopush-,staging-}cloudcode-pa{,.sandbox}.googleapis.com`,
/// `generativelanguage.googleapis.com`, `{,{region}-}aiplatform.googleapis.com`.
pub(super) fn provider_of(host: &Host) -> Option<Provider> {
    let (service, _) = host
        .as_str()
        .strip_suffix(".googleapis.com")
        .map(|name| name.split_once('.').unwrap_or((name, "")))?;
    match service {
        "generativelanguage" => Some(Provider::Gemini),
        _ if service.contains("cloudcode-pa") => Some(Provider::CloudCode),
        _ if service == "aiplatform" || service.ends_with("-aiplatform") => {
            Some(Provider::VertexAi)
        }
        _ => None,
    }
}

static REQUEST: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
    Paths::new([
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

static INTERACTION_REQUEST: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
    Paths::new([
        ("model", RequestField::Model),
        // Asked for instead of a model: `deep-research`, `antigravity`.
        ("agent", RequestField::NestedModel),
    ])
});
