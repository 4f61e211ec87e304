//! Answers requests, and counts the answers in the tally.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::counted::{
    CountedBody, EVENT_STREAM, Entry, JSON, complete_response, events, invalid, plain, set,
};
use super::plan::Plan;
use super::stream::{self, Piece, Shape};
use super::{ProviderOptions, SharedTally, anthropic, responses};
use crate::demo::digest::{HASH_HEADER, sha256};
use crate::demo::server::Tasks;
use crate::demo::{MODELS, models};

/// What all answers of a provider share.
pub(super) struct Script {
    pub(super) options: ProviderOptions,
    pub(super) tally: SharedTally,
    /// Where open WebSockets live.
    pub(super) tasks: Tasks,
}

/// Answers one request; every path leads to a response.
pub(super) async fn answer(
    script: Arc<Script>,
    request: Request<Incoming>,
) -> Response<CountedBody> {
    if request.uri().path() == responses::PATH {
        return responses::upgrade(&script, request);
    }
    let (head, body) = request.into_parts();
    let target = Target::parse(head.uri.path());
    let body = match timeout(BODY_TIMEOUT, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return invalid("the body broke off or is too large"),
        Err(_) => return invalid("the body did not come in time"),
    };
    let is_corrupt = || {
        let announced = head.headers.get(HASH_HEADER);
        announced.is_some_and(|announced| announced.as_bytes() != sha256(&body).as_bytes())
    };
    if script.options.checks_hashes && is_corrupt() {
        script.tally.update(|tally| tally.corrupt += 1);
        return invalid("the body does not have the announced hash");
    }
    match (head.uri.path(), target) {
        (anthropic::PATH, _) => anthropic::answer(&script, &head.headers, &body),
        (_, target) => google(&script, target, &head.headers, &body),
    }
}

fn google(
    script: &Script,
    target: Option<Target<'_>>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response<CountedBody> {
    match target {
        None => plain(
            StatusCode::NOT_FOUND,
            json!({"error": {"code": 404, "status": "NOT_FOUND"}}),
        ),
        Some(Target {
            method: Method::Control(document),
            ..
        }) => {
            script.tally.update(|tally| tally.control += 1);
            control(document, headers)
        }
        Some(target) => generate(script, &target, headers, body),
    }
}

/// What a path asks for.
struct Target<'a> {
    method: Method,
    /// The model, where the path names it: the public API.
    model: Option<&'a str>,
}

enum Method {
    Stream,
    Unary,
    Count,
    /// Generates nothing; the whole answer.
    Control(Value),
}

impl<'a> Target<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let (place, method) = path.rsplit_once(':')?;
        let method = match method {
            "streamGenerateContent" | "tabChat" => Method::Stream,
            "generateContent" => Method::Unary,
            "countTokens" => Method::Count,
            "fetchAvailableModels" => Method::Control(available_models()),
            "loadCodeAssist" => Method::Control(
                json!({"currentTier": {"id": "free-tier"}, "cloudaicompanionProject": "demo"}),
            ),
            "retrieveUserQuotaSummary" => {
                Method::Control(json!({"groups": models::quota_groups()}))
            }
            "recordCodeAssistMetrics" | "recordTrajectoryAnalytics" | "fetchUserInfo" => {
                Method::Control(json!({}))
            }
            _ => return None,
        };
        match place {
            "/v1internal" => Some(Self {
                method,
                model: None,
            }),
            _ => place.strip_prefix("/v1beta/models/").map(|model| Self {
                method,
                model: Some(model),
            }),
        }
    }
}

fn generate(
    script: &Script,
    target: &Target<'_>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response<CountedBody> {
    let Ok(document) = serde_json::from_slice::<Value>(body) else {
        return invalid("the body is not JSON");
    };
    let named = ["/model", "/request/model"]
        .iter()
        .find_map(|path| document.pointer(path)?.as_str());
    let Some(model) = target.model.or(named) else {
        return invalid("no model is named");
    };
    let model = model.strip_prefix("models/").unwrap_or(model);
    let plan = match Plan::make(&script.options, &key(&document, body), last_text(&document)) {
        Ok(plan) => plan,
        Err(error) => return invalid(&error.to_string()),
    };

    if matches!(target.method, Method::Count) {
        script.tally.update(|tally| tally.model(model).counted += 1);
        return plain(
            StatusCode::OK,
            json!({"totalTokens": plan.usage.prompt_token_count}),
        );
    }
    if let Some(kind) = plan.refusal {
        script.tally.update(|tally| tally.model(model).refused += 1);
        let mut response = complete_response(
            StatusCode::TOO_MANY_REQUESTS,
            stream::refusal(kind, model),
            EVENT_STREAM,
        );
        trace(&mut response, &plan);
        return response;
    }
    let gzip = plan.gzip && plan.hold.is_none() && accepts_gzip(headers);
    let shape = Shape {
        model,
        wrapped: target.model.is_none(),
        gzip,
    };
    let mut response = match target.method {
        Method::Unary => documented(script, &plan, shape),
        _ => streamed(script, &plan, shape),
    };
    if gzip {
        set(&mut response, header::CONTENT_ENCODING, "gzip");
    }
    trace(&mut response, &plan);
    response
}

/// What chance follows from: never the whole body of the stand-in agent, which holds the time of
/// day.
fn key(document: &Value, body: &Bytes) -> Vec<u8> {
    let label = document
        .pointer("/request/labels/request_id")
        .and_then(Value::as_str);
    let seed = document
        .pointer("/request/generationConfig/seed")
        .and_then(Value::as_u64);
    match (label, seed) {
        (Some(label), _) => label.as_bytes().to_vec(),
        (None, Some(seed)) => seed.to_be_bytes().to_vec(),
        (None, None) => body.to_vec(),
    }
}

fn streamed(script: &Script, plan: &Plan, shape: Shape<'_>) -> Response<CountedBody> {
    let pieces = stream::sse(plan, shape);
    let pieces: Vec<_> = pieces
        .into_iter()
        .map(|piece| (piece.bytes, piece.known.into()))
        .collect();
    let mut response = events(script, shape.model, pieces, plan.first_chunk);
    if plan.hold.is_some() {
        response.body_mut().body.hold_open();
        // Nobody will ever see all of it.
        response.headers_mut().remove(HASH_HEADER);
    }
    response
}

fn documented(script: &Script, plan: &Plan, shape: Shape<'_>) -> Response<CountedBody> {
    let Piece { bytes, known } = stream::unary(plan, shape);
    let mut response = complete_response(StatusCode::OK, bytes, JSON);
    let entry = Entry {
        tally: script.tally.clone(),
        model: shape.model.to_owned(),
        known: [known.into()].into(),
        last: known.into(),
    };
    response.body_mut().entry = Some(entry);
    response
}

fn last_text(document: &Value) -> &str {
    let contents = document
        .pointer("/request/contents")
        .or_else(|| document.get("contents"));
    contents
        .and_then(Value::as_array)
        .and_then(|contents| {
            contents
                .last()?
                .get("parts")?
                .as_array()?
                .last()?
                .get("text")?
                .as_str()
        })
        .unwrap_or_default()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"))
}

fn available_models() -> Value {
    json!({"models": models::catalogue(), "agentModelSorts": [{"groups": [{"modelIds": MODELS}]}],
           "deprecatedModelIds": {"gemini-3-pro-low": {"newModelId": "gemini-3.1-pro-low"}}})
}

/// Google's front end codes the answers of control methods when it may.
fn control(document: Value, headers: &HeaderMap) -> Response<CountedBody> {
    if !accepts_gzip(headers) {
        return plain(StatusCode::OK, document);
    }
    let mut response = complete_response(
        StatusCode::OK,
        stream::gzip_whole(document.to_string().as_bytes()),
        JSON,
    );
    set(&mut response, header::CONTENT_ENCODING, "gzip");
    response
}

/// The headers by which Google's front end is known.
fn trace(response: &mut Response<CountedBody>, plan: &Plan) {
    set(response, TRACE_ID, &plan.trace_id);
    set(response, header::SERVER, "ESF");
    set(response, header::ALT_SVC, "h3=\":443\"; ma=2592000");
    set(response, header::CONTENT_DISPOSITION, "attachment");
    set(response, header::VARY, "Origin, X-Origin, Referer");
    set(
        response,
        HeaderName::from_static("server-timing"),
        "gfet4t7; dur=195",
    );
}

/// The same id as `traceId` in the body.
const TRACE_ID: HeaderName = HeaderName::from_static("x-cloudaicompanion-trace-id");
/// Requests of the language server reach some megabytes; this keeps a wrong client from filling the
/// memory.
const BODY_LIMIT: usize = 64 << 20;
/// A client that stops in the middle of its request gives up its place.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
