//! Google's family: Cloud Code (the API of Antigravity and gemini-cli), the public Gemini API and
//! Vertex AI.
//!
//! One wire format in three places: Cloud Code wraps request and response once more (`request.`,
//! `response.`), the others name the model in the path. Streams come as SSE (`alt=sse`) or as one
//! JSON array of frames. Sources: googleapis/js-genai `src/types.ts`, google-gemini/gemini-cli
//! `packages/core/src/code_assist`, and the REST references of the Gemini API and of Vertex AI.

mod answer;
mod ending;
mod form;
mod hosts;
mod live;
mod paths;
pub mod quota;
mod refusal;
mod request;
mod request_id;
mod searches;
mod split;
mod telemetry;
#[cfg(test)]
mod tests;
mod usage;

use super::answer::{AnswerHead, ReadBody};
use super::body::json_body;
use super::limits::HeadLimits;
use super::notices::ReadNotice;
use super::realtime::RealtimeHead;
use super::reports::SERVER_TIMING;
use super::request::json_request;
use super::session::{EXTENSIONS, UPGRADE, opens_socket};
use super::{CallHead, Dialect, Notice, Recognised, Side};
use crate::observe::exchange::{Listed, RequestHead};
use crate::record::{Host, Model, Operation, Provider};
use answer::Answer;
use paths::AnswerShape;
use quota::QuotaDocument;
use request::GeminiRequest;
use telemetry::Telemetry;

pub(super) const DIALECT: Dialect = Dialect {
    hosts: hosts::HOSTS,
    listed: Listed {
        fields: &[TRACE_ID, SERVER_TIMING, UPGRADE, EXTENSIONS],
        endings: &[],
        reduced: &[],
        query: &[EVENTS],
    },
    limits: HeadLimits::NONE,
    provider_of,
    is_private: |_, _| false,
    recognise,
};

/// The header field in which Cloud Code names its trace of a call.
const TRACE_ID: &str = "x-cloudaicompanion-trace-id";

/// The pair of a query that asks for events.
const EVENTS: &str = "alt=sse";

/// Recognises `POST .../{resource}:{method}` and `POST .../interactions` by the shape of the path,
/// and what opens a session of the Live API; the host decides on the provider, if it is a known one.
/// A GET of an interaction reads again what was counted when it was made, and is no call.
fn recognise(host: &Host, head: &RequestHead) -> Option<Recognised> {
    if let Some(by_path) = live_api(&head.path).filter(|_| opens_socket(head)) {
        return Some(Recognised::Realtime(RealtimeHead {
            provider: provider_of(host).unwrap_or(by_path),
            form: &form::GENERATION,
            reader: live::reader,
        }));
    }
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
        return Some(Recognised::Call(CallHead {
            provider,
            operation,
            form: form::of(by_shape == Provider::CloudCode, method.is_none()),
            model: model.map(Model::from_wire),
            expects_events: head.query.contains(&EVENTS),
            request: match method {
                Some(_) => |head, memory| json_request(head, memory, GeminiRequest::generation()),
                None => |head, memory| json_request(head, memory, GeminiRequest::interaction()),
            },
            answer: match answer {
                AnswerShape::Generation => |of| read(of, AnswerShape::Generation),
                AnswerShape::Interaction => |of| read(of, AnswerShape::Interaction),
                AnswerShape::Prediction => |of| read(of, AnswerShape::Prediction),
            },
        }));
    }
    let (_, side) = NOTICES
        .into_iter()
        .find(|(name, _)| Some(*name) == method && by_shape == Provider::CloudCode)?;
    let reader: fn(Provider) -> Box<dyn ReadNotice> = match side {
        Side::Request => |_| Box::new(Telemetry::new()),
        Side::Response => |provider| Box::new(QuotaDocument::new(provider)),
    };
    Some(Recognised::Notice(Notice {
        provider,
        side,
        reader,
    }))
}

/// Whose Live API stands at this path: a method of a gRPC service, served as a WebSocket.
fn live_api(path: &str) -> Option<Provider> {
    let (_, service) = path.rsplit_once("/ws/google.")?;
    let (service, method) = service
        .split_once('/')
        .or_else(|| service.rsplit_once('.'))?;
    let provider = match service {
        _ if service.ends_with(".GenerativeService") => Provider::Gemini,
        _ if service.ends_with(".LlmBidiService") => Provider::VertexAi,
        _ => return None,
    };
    LIVE_METHODS.contains(&method).then_some(provider)
}

/// The second one is for agents with a token of its own for each session.
const LIVE_METHODS: [&str; 2] = ["BidiGenerateContent", "BidiGenerateContentConstrained"];

fn read(of: AnswerHead<'_>, shape: AnswerShape) -> Box<dyn ReadBody> {
    json_body(of, Answer::new(of.provider, shape))
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

/// Methods of Cloud Code that generate nothing, and the side that reports something: a request says
/// which identifiers belong together, a response what is left of quotas and how models are called.
const NOTICES: [(&str, Side); 5] = [
    ("fetchAvailableModels", Side::Response),
    ("recordCodeAssistMetrics", Side::Request),
    ("recordTrajectoryAnalytics", Side::Request),
    ("retrieveUserQuota", Side::Response),
    ("retrieveUserQuotaSummary", Side::Response),
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
fn provider_of(host: &Host) -> Option<Provider> {
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
