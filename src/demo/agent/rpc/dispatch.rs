//! Dispatches a request to its method: checks protocol, token and body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::agent_state::AgentState;
use super::body::ResponseBody;
use super::envelope::{self, Framing};
use super::fault::Fault;
use super::reactive::Reactive;
use super::{Server, control, stream, unary};

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo::agent) enum Port {
    Https,
    Http,
}

/// The protocol of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// `application/json`
    Unary { gzip: bool },
    /// A stream of JSON.
    Json(Framing),
    /// A stream of protobuf.
    Proto(Framing),
}

/// Answers one request.
pub(in crate::demo::agent) async fn answer(
    server: Arc<Server>,
    port: Port,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let (head, body) = request.into_parts();
    let limited = Limited::new(body, BODY_LIMIT).collect();
    let Ok(Ok(body)) = timeout(BODY_TIMEOUT, limited).await else {
        return status(StatusCode::REQUEST_TIMEOUT);
    };
    let body = body.to_bytes();
    match (head.uri.path().strip_prefix(BASE), port) {
        (Some(method), _) if head.method == Method::POST => call(&server, method, &head, &body),
        (None, Port::Http) => control::answer(&server, &head, &body),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn call(server: &Arc<Server>, method: &str, head: &Parts, body: &Bytes) -> Response<ResponseBody> {
    let Some(dialect) = Dialect::of(head) else {
        return status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let known = match method {
        AGENT_STATE => server.offered_streams().agent_state,
        REACTIVE => true,
        _ => unary::knows(method),
    };
    if !known {
        return dialect.missing();
    }
    if !server.admits(&head.headers) {
        return dialect.refuse(Fault::NO_TOKEN);
    }
    let answered = match (method, dialect) {
        (AGENT_STATE, Dialect::Json(framing)) => {
            stream::open(server, framing, JSON_STREAM, AgentState::asked(body))
        }
        (REACTIVE, Dialect::Proto(framing)) => {
            stream::open(server, framing, framing.proto(), Reactive::asked(body))
        }
        (AGENT_STATE | REACTIVE, _) => return status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (_, Dialect::Unary { gzip }) => asked(body)
            .and_then(|asked| unary::answer(&server.store, method, &asked))
            .map(|answer| document(StatusCode::OK, &answer, gzip)),
        // The real server speaks gRPC here, too; the stand-in need not.
        (_, Dialect::Json(_) | Dialect::Proto(_)) => return dialect.missing(),
    };
    answered.unwrap_or_else(|fault| dialect.refuse(fault))
}

impl Server {
    fn admits(&self, headers: &HeaderMap) -> bool {
        self.token.is_empty()
            || headers
                .get(TOKEN)
                .is_some_and(|token| token.as_bytes() == self.token.as_bytes())
    }
}

impl Dialect {
    fn of(head: &Parts) -> Option<Self> {
        let headers = &head.headers;
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        match content_type.split(';').next()?.trim() {
            "application/json" => Some(Self::Unary {
                gzip: lists_gzip(headers, header::ACCEPT_ENCODING),
            }),
            JSON_STREAM => Some(Self::Json(Self::connect(headers))),
            PROTO_STREAM => Some(Self::Proto(Self::connect(headers))),
            // Its trailers need HTTP/2.
            GRPC | "application/grpc+proto" if head.version == Version::HTTP_2 => {
                let gzip = lists_gzip(headers, HeaderName::from_static("grpc-accept-encoding"));
                Some(Self::Proto(Framing::Grpc { gzip }))
            }
            _ => None,
        }
    }

    fn connect(headers: &HeaderMap) -> Framing {
        Framing::Connect {
            gzip: lists_gzip(headers, HeaderName::from_static("connect-accept-encoding")),
        }
    }

    /// A method that does not exist, which no protocol handler ever sees.
    fn missing(self) -> Response<ResponseBody> {
        match self {
            Self::Json(Framing::Grpc { .. }) | Self::Proto(Framing::Grpc { .. }) => {
                self.refuse(Fault::NO_METHOD)
            }
            _ => Self::Unary { gzip: false }.refuse(Fault::NO_METHOD),
        }
    }

    /// An error in place of an answer.
    fn refuse(self, fault: Fault) -> Response<ResponseBody> {
        let (framing, content_type) = match self {
            Self::Unary { gzip } => return document(fault.code.status(), &fault.document(), gzip),
            Self::Json(framing) => (framing, JSON_STREAM),
            Self::Proto(framing) => (framing, framing.proto()),
        };
        let mut response = match framing.end(Some(fault)).into_data() {
            Ok(end) => Response::new(ResponseBody::complete(end)),
            // Trailers only: they are the head.
            Err(_) => {
                let mut response = Response::new(ResponseBody::complete(Bytes::new()));
                *response.headers_mut() = envelope::status(Some(fault));
                response
            }
        };
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}

impl Framing {
    fn proto(self) -> &'static str {
        match self {
            Self::Connect { .. } => PROTO_STREAM,
            Self::Grpc { .. } => GRPC,
        }
    }
}

fn asked(body: &Bytes) -> Result<Value, Fault> {
    serde_json::from_slice(body).map_err(|_| Fault::MALFORMED)
}

/// An answer without a body.
pub(super) fn status(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::complete(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A JSON document.
pub(super) fn document(status: StatusCode, document: &Value, gzip: bool) -> Response<ResponseBody> {
    let plain = document.to_string().into_bytes();
    let mut response = Response::new(ResponseBody::complete(if gzip {
        envelope::gzip(&plain)
    } else {
        plain
    }));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if gzip {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn lists_gzip(headers: &HeaderMap, name: HeaderName) -> bool {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"))
}

const BASE: &str = "/exa.language_server_pb.LanguageServerService/";
const AGENT_STATE: &str = "StreamAgentStateUpdates";
const REACTIVE: &str = "StreamCascadeReactiveUpdates";
const TOKEN: &str = "x-codeium-csrf-token";
const JSON_STREAM: &str = "application/connect+json";
const PROTO_STREAM: &str = "application/connect+proto";
const GRPC: &str = "application/grpc";
/// A request names an id or two; this keeps a wrong client from filling the memory.
const BODY_LIMIT: usize = 1 << 20;
/// A client that stops in the middle of its request gives up its place.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
