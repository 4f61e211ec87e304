//! The stand-in provider: answers by the script, in its pieces, and breaks off where the script does.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::script::{Ending, Exchange};
use super::socket::Session;
use crate::kit::provider::Provider;

/// The field by which a request names its exchange or its session.
pub const NUMBER: &str = "x-script";

/// All that is going to happen.
pub struct Script {
    pub exchanges: Vec<Exchange>,
    pub sessions: Vec<Session>,
    /// The agent has got all of an answer that breaks off, by exchange.
    pub arrived: Vec<Notify>,
}

/// What an answer ends with that breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the script breaks off here")]
struct Broken;

type Body = BoxBody<Bytes, Broken>;

/// Serves every connection that comes.
pub async fn serve(provider: Arc<Provider>, script: Arc<Script>, tasks: TaskTracker) {
    loop {
        let tcp = provider.accept_tcp().await;
        let (provider, script) = (Arc::clone(&provider), Arc::clone(&script));
        let tracker = tasks.clone();
        tasks.spawn(async move {
            let tls = provider.handshake(tcp).await.expect("a handshake");
            let service =
                service_fn(move |request| answer(request, Arc::clone(&script), tracker.clone()));
            // Some connections are broken off by the script.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(tls), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Script>,
    tasks: TaskTracker,
) -> Result<Response<Body>, Infallible> {
    let number = request.headers()[NUMBER].to_str().expect("text");
    let number: usize = number.parse().expect("a number");
    if request.headers().contains_key(UPGRADE) {
        return Ok(upgrade(request, script, number, &tasks));
    }
    let body = request.into_body().collect().await;
    let body = body.expect("a whole request").to_bytes();
    let exchange = &script.exchanges[number];
    assert!(
        body == exchange.request,
        "{number}: the request came unchanged"
    );
    let mut response = Response::builder().status(exchange.status);
    for (name, value) in &exchange.fields {
        response = response.header(*name, value);
    }
    let body = StreamBody::new(pieces(script, number)).boxed();
    Ok(response.body(body).expect("a response"))
}

/// The body, and then its end.
fn pieces(
    script: Arc<Script>,
    number: usize,
) -> impl stream::Stream<Item = Result<Frame<Bytes>, Broken>> + Send + Sync {
    stream::unfold((script, 0, 0), move |(script, turn, sent)| async move {
        let exchange = &script.exchanges[number];
        let rest = &exchange.response[sent..];
        if !rest.is_empty() {
            let size = exchange.pieces[turn % exchange.pieces.len()].min(rest.len());
            let piece = Frame::data(Bytes::copy_from_slice(&rest[..size]));
            return Some((Ok(piece), (script, turn + 1, sent + size)));
        }
        match exchange.ending {
            Ending::Whole => None,
            Ending::ProviderBreaks => {
                script.arrived[number].notified().await;
                Some((Err(Broken), (script, turn, sent)))
            }
            Ending::AgentLeaves => std::future::pending().await,
        }
    })
}

/// Agrees to a socket, and says there what the script says.
fn upgrade(
    request: Request<Incoming>,
    script: Arc<Script>,
    number: usize,
    tasks: &TaskTracker,
) -> Response<Body> {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, "no client of this test looks at it");
    if script.sessions[number].is_deflated {
        response = response.header(SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate");
    }
    tasks.spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.expect("an upgrade");
        let mut socket = TokioIo::new(upgraded);
        for (question, answer) in &script.sessions[number].turns {
            let mut asked = vec![0; question.len()];
            socket.read_exact(&mut asked).await.expect("a question");
            assert!(asked == *question, "{number}: the question came unchanged");
            for piece in answer.chunks(1 + answer.len() / 3) {
                socket.write_all(piece).await.expect("an open socket");
                socket.flush().await.expect("an open socket");
            }
        }
    });
    let body = Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed();
    response.body(body).expect("a response")
}
