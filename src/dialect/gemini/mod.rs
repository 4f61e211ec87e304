//! Google's family: Cloud Code (the API of Antigravity and gemini-cli), the public Gemini API and Vertex AI.
//!
//! One wire format in three places: Cloud Code wraps request and response once more (`request.`, `response.`), the others
//! name the model in the path. Streams come as SSE (`alt=sse`) or as one JSON array of frames.
//! Sources: googleapis/js-genai `src/types.ts`, google-gemini/gemini-cli `packages/core/src/code_assist`, and the REST
//! references of the Gemini API and of Vertex AI.

pub(super) mod answer;
mod refusal;
pub(super) mod request_id;
pub(super) mod telemetry;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::LazyLock;

use super::request::RequestField;
use super::{CallHead, Notice, Recognised, Tells};
use crate::observe::exchange::RequestHead;
use crate::observe::json::Paths;
use crate::record::{Host, Model, Operation, Provider};

pub(super) use refusal::timestamp;

/// Recognises `POST .../{resource}:{method}` by the shape of the path; the host tells the provider, where it is known.
pub(super) fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    let (resource, method) = head.path.strip_prefix('/').filter(|_| head.method == "POST")?.rsplit_once(':')?;
    let (by_shape, model) = resource_shape(resource)?;
    let provider = provider_of(host).unwrap_or(by_shape);
    if let Some(operation) = operation(method, by_shape) {
        let model = model.map(Model::from_wire);
        return Some(Recognised::Call(CallHead { provider, operation, model, request: &REQUEST }));
    }
    let (_, tells) = NOTICES.into_iter().find(|(name, _)| *name == method && by_shape == Provider::CloudCode)?;
    Some(Recognised::Notice(Notice { provider, tells }))
}

/// What a method generates. Control and telemetry calls (`loadCodeAssist`, ...) generate nothing.
fn operation(method: &str, by_shape: Provider) -> Option<Operation> {
    match method {
        "countTokens" => Some(Operation::CountTokens),
        "generateContent" | "streamGenerateContent" => Some(Operation::Chat),
        "tabChat" if by_shape == Provider::CloudCode => Some(Operation::Autocomplete),
        _ => None,
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

/// Whose resources look like this, and the model that is named.
fn resource_shape(resource: &str) -> Option<(Provider, Option<&str>)> {
    let segments: Vec<&str> = resource.split('/').take(MAX_SEGMENTS + 1).collect();
    match *segments.as_slice() {
        ["v1internal"] => Some((Provider::CloudCode, None)),
        ["v1" | "v1alpha" | "v1beta", "models" | "tunedModels", model] => Some((Provider::Gemini, Some(model))),
        ["v1" | "v1beta1", "publishers", "google", "models", model]
        | ["v1" | "v1beta1", "projects", _, "locations", _, "publishers", "google", "models", model] => {
            Some((Provider::VertexAi, Some(model)))
        }
        _ => None,
    }
}

/// The longest shape of [`resource_shape`].
const MAX_SEGMENTS: usize = 9;

/// `{,daily-,autopush-,staging-}cloudcode-pa{,.sandbox}.googleapis.com`, `generativelanguage.googleapis.com`,
/// `{,{region}-}aiplatform.googleapis.com`.
fn provider_of(host: &Host) -> Option<Provider> {
    let (service, _) =
        host.as_str().strip_suffix(".googleapis.com").map(|name| name.split_once('.').unwrap_or((name, "")))?;
    match service {
        "generativelanguage" => Some(Provider::Gemini),
        _ if service.contains("cloudcode-pa") => Some(Provider::CloudCode),
        _ if service == "aiplatform" || service.ends_with("-aiplatform") => Some(Provider::VertexAi),
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
