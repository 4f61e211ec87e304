//! HTTP/1.1, HTTP/2 and WebSockets of the providers.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::websocket::{self, Socket};
use super::{Answer, Asked, Call, Coding, Form, RULE_MARK, Shared, answer, lock, responses};

type Body = BoxBody<Bytes, Infallible>;

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    shared: &Arc<Shared>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (host, shared) = (host.to_owned(), Arc::clone(shared));
        async move { Ok::<_, Infallible>(respond(request, host, shared).await) }
    });
    // A client that goes in the middle of something is none of our business.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: Request<Incoming>, host: String, shared: Arc<Shared>) -> Response<Body> {
    if request.headers().contains_key(UPGRADE) {
        if !lock(&shared.setting).sockets {
            let mut refusal = Response::new(Full::new(Bytes::new()).boxed());
            *refusal.status_mut() = StatusCode::UPGRADE_REQUIRED;
            return refusal;
        }
        return upgrade(request, shared);
    }
    let (head, body) = request.into_parts();
    let field = |name: HeaderName| text(&head.headers, name);
    let body = body.collect().await.map(|body| body.to_bytes());
    let body = Coding::decode(field(CONTENT_ENCODING), &body.unwrap_or_default());
    let asked = Asked {
        host,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        fixture: text(&head.headers, FIXTURE).map(str::to_owned),
        attempt: text(&head.headers, ATTEMPT)
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
        subagent: text(&head.headers, CLAUDE_SUBAGENT)
            .map(str::to_owned)
            .or_else(|| responses::subagent(|name| text(&head.headers, name))),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let coding = text(&head.headers, CODING).map(Coding::named);
    let coding = coding.unwrap_or_else(|| lock(&shared.setting).coding);
    let coding = coding.accepted_by(field(ACCEPT_ENCODING).unwrap_or_default());
    let answer = count(&shared, &asked, (head.version.into(), coding));
    let coding = match answer.call {
        Some(_) => coding,
        None => Coding::Identity,
    };
    send(answer, coding)
}

/// Answers a request and keeps what it was. The answer's number is that of the calls before it.
fn count(shared: &Shared, asked: &Asked, form: (Form, Coding)) -> Answer {
    let mut served = lock(&shared.served);
    let answer = answer(asked, served.calls.len() as u64);
    match &answer.call {
        Some(call) => {
            served.calls.push(Call {
                subagent: asked.subagent.clone(),
                ..call.clone()
            });
            served.forms.insert(form);
            let body = asked.body.to_string();
            served.marked += usize::from(body.contains(RULE_MARK));
        }
        None => {
            let request = format!("{} {}{}", asked.method, asked.host, asked.path);
            *served.others.entry(request).or_default() += 1;
        }
    }
    answer
}

fn send(answer: Answer, coding: Coding) -> Response<Body> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.fields {
        response = response.header(name, value);
    }
    if let Some(name) = coding.name() {
        response = response.header(CONTENT_ENCODING, name);
    }
    let mut pieces = coding.encode(&answer.pieces);
    let body = if answer.pieces.len() == 1 {
        Full::new(Bytes::from(pieces.concat())).boxed()
    } else {
        pieces.retain(|piece| !piece.is_empty());
        let frames = pieces
            .into_iter()
            .map(|piece| Ok(Frame::data(piece.into())));
        StreamBody::new(stream::iter(frames)).boxed()
    };
    response.body(body).expect("a response")
}

/// Opens a WebSocket for the Responses of a client.
fn upgrade(request: Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    let headers = request.headers();
    let key = text(headers, SEC_WEBSOCKET_KEY).expect("a key of the socket");
    let offer = text(headers, SEC_WEBSOCKET_EXTENSIONS).unwrap_or_default();
    let is_deflated = lock(&shared.setting).deflate && offer.contains(websocket::DEFLATE);
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(UPGRADE, "websocket")
        .header(http::header::CONNECTION, "upgrade")
        .header(SEC_WEBSOCKET_ACCEPT, websocket::accept(key));
    if is_deflated {
        response = response.header(SEC_WEBSOCKET_EXTENSIONS, websocket::DEFLATE);
    }
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.expect("an upgrade");
        converse(Socket::new(TokioIo::new(upgraded), is_deflated), &shared).await;
    });
    response.body(Full::default().boxed()).expect("a response")
}

/// Answers each message that asks for one, until the client goes.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut socket: Socket<S>, shared: &Shared) {
    while let Some(message) = socket.next().await {
        let request: Value = serde_json::from_str(&message).expect("JSON of the client");
        let form = match socket.is_deflated() {
            true => Form::WebSocketDeflated,
            false => Form::WebSocket,
        };
        let events = {
            let mut served = lock(&shared.served);
            let (events, call) = responses::over_socket(&request, served.calls.len() as u64);
            if let Some(call) = call {
                served.calls.push(call);
                served.forms.insert((form, Coding::Identity));
            }
            events
        };
        for event in events {
            socket.send(&event.to_string()).await;
        }
    }
}

fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The field in which an SDK names the exchange that it wants for an answer.
const FIXTURE: &str = "x-fixture";
/// The field in which the SDKs of Anthropic and OpenAI say how often they have tried before.
const ATTEMPT: &str = "x-stainless-retry-count";
/// The field in which a subagent of Claude Code names itself.
const CLAUDE_SUBAGENT: &str = "x-claude-code-agent-id";
/// The field in which it names the coding of the answer.
const CODING: &str = "x-coding";
