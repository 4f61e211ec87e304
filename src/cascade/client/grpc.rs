//! The reactive stream over gRPC: tonic's client on Gravimeter's own connection.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::CONTENT_TYPE;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tokio::time::timeout;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::{Code, Status};

use super::Client;
use super::answer::TOKEN;
use super::dial::{Driver, Http2};
use super::endpoint::Token;
use super::error::{Malformation, RpcError, RpcStep, refusal};
use super::reactive::MAX_MESSAGE;
use crate::cascade::proto::language_server_pb::language_server_service_client::LanguageServerServiceClient;
use crate::cascade::proto::reactive_component_pb::{
    StreamReactiveUpdatesRequest, StreamReactiveUpdatesResponse,
};

/// Opens the stream. `None`: the port does not speak HTTP/2, or its answer is not gRPC.
pub(super) async fn open(
    client: &Client,
    https: SocketAddr,
    request: StreamReactiveUpdatesRequest,
) -> Result<Option<GrpcStream>, RpcError> {
    let Some(Http2 { sender, driver }) = client.dialer.http2(https).await? else {
        return Ok(None);
    };
    let status = PeerStatus::default();
    let token = client.endpoint.token().cloned();
    let service = tower::service_fn({
        let status = status.clone();
        move |request| exchange(sender.clone(), request, token.clone(), status.clone())
    });
    let mut rpc = LanguageServerServiceClient::with_origin(service, origin(https)?)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE);
    let answer = timeout(
        client.timeouts.head,
        rpc.stream_cascade_reactive_updates(request),
    )
    .await;
    match answer.map_err(|_| RpcError::Timeout(RpcStep::Head))? {
        Ok(answer) => Ok(Some(GrpcStream {
            messages: answer.into_inner(),
            status,
            over: None,
            _driver: driver,
        })),
        Err(error) if is_not_grpc(&error) => Ok(None),
        Err(error) if status.has_come() => Err(refusal(error.code().into(), error.message())),
        Err(_) => Err(RpcError::Closed),
    }
}

/// A stream of messages over gRPC.
pub(super) struct GrpcStream {
    messages: Streaming<StreamReactiveUpdatesResponse>,
    status: PeerStatus,
    over: Option<Result<(), RpcError>>,
    _driver: Driver,
}

impl GrpcStream {
    pub(super) async fn next(&mut self) -> Result<Option<StreamReactiveUpdatesResponse>, RpcError> {
        if let Some(over) = self.over {
            return over.map(|()| None);
        }
        let over = match self.messages.message().await {
            Ok(Some(message)) => return Ok(Some(message)),
            Ok(None) => Ok(()),
            Err(error) => Err(self.status.error(&error)),
        };
        self.over = Some(over);
        over.map(|()| None)
    }
}

/// Whether the server itself has sent a status. tonic reports its own failures, such as a truncated
/// message, in the same type.
#[derive(Clone, Default)]
struct PeerStatus(Arc<AtomicBool>);

impl PeerStatus {
    fn note(&self, headers: &http::HeaderMap) {
        if headers.contains_key(STATUS) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn error(&self, error: &Status) -> RpcError {
        match error.code() {
            code if self.has_come() => refusal(code.into(), error.message()),
            // The declared length, or the decompressed one, is too large.
            Code::OutOfRange | Code::ResourceExhausted => {
                RpcError::Malformed(Malformation::TooLarge)
            }
            Code::Internal if error.source().is_none() && error.message() != CUT_SHORT => {
                RpcError::Malformed(Malformation::Message)
            }
            // The connection was lost, or the body ended inside a message or without a status.
            _ => RpcError::Truncated,
        }
    }
}

/// Runs one HTTP/2 exchange for tonic: adds the token to the request and notes whether the answer
/// carries a status.
async fn exchange(
    mut sender: SendRequest<tonic::body::Body>,
    mut request: Request<tonic::body::Body>,
    token: Option<Token>,
    status: PeerStatus,
) -> Result<Response<tonic::body::Body>, Box<dyn Error + Send + Sync>> {
    if let Some(token) = token {
        request.headers_mut().insert(TOKEN, token.value());
    }
    let answer: Response<Incoming> = sender.send_request(request).await?;
    if !is_grpc(&answer) {
        return Err(NotGrpc.into());
    }
    status.note(answer.headers());
    Ok(answer.map(|body| {
        tonic::body::Body::new(body.map_frame(move |frame| {
            frame
                .trailers_ref()
                .inspect(|trailers| status.note(trailers));
            frame
        }))
    }))
}

/// The error for an answer that is not gRPC.
#[derive(Debug, thiserror::Error)]
#[error("the answer is no gRPC")]
struct NotGrpc;

fn is_grpc<B>(answer: &Response<B>) -> bool {
    let value = answer
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    // `application/grpc` and `application/grpc+proto`, but not `application/grpc-web`.
    value
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| !rest.starts_with(b"-"))
}

fn is_not_grpc(error: &Status) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NotGrpc>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn origin(https: SocketAddr) -> Result<Uri, RpcError> {
    let origin = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(https.to_string());
    // Cannot fail: an address is a valid authority.
    origin
        .path_and_query(PathAndQuery::from_static("/"))
        .build()
        .map_err(|_| RpcError::Closed)
}

/// The field of gRPC's status.
const STATUS: &str = "grpc-status";

/// tonic's message for a body that ends inside a message.
const CUT_SHORT: &str = "Unexpected EOF decoding stream.";
