//! The channel that `opentelemetry-otlp` is given for gRPC.
//!
//! Of tonic's channel only the connection can be chosen. So it gets one end of a pipe in memory, and
//! at the other end each request is passed to the [`Carrier`], which sees the collector's whole
//! answer: its HTTP status, gRPC status, details and message.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::rt::Executor as _;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use super::carrier::{Carrier, NoAnswer, Received};
use super::connections::ConnectionTasks;

/// A channel whose requests go to the carrier.
pub(super) fn channel(carrier: Arc<Carrier>, tasks: ConnectionTasks) -> Channel {
    let endpoint = Endpoint::from_static(PIPE).executor(tasks.clone());
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let (near, far) = tokio::io::duplex(PIPE_SIZE);
        let carrier = Arc::clone(&carrier);
        let serve = http2::Builder::new(tasks.clone()).serve_connection(
            TokioIo::new(far),
            service_fn(move |request| answer(Arc::clone(&carrier), request)),
        );
        tasks.execute(async move {
            // The other end notices that the pipe is broken, and asks for another one.
            let _ = serve.await;
        });
        ready(Ok::<_, Infallible>(TokioIo::new(near)))
    }))
}

/// The body of an answer and its trailers, which have all been received.
type Answered = WithTrailers<Full<Bytes>, Ready<Option<Result<HeaderMap, Infallible>>>>;

async fn answer(
    carrier: Arc<Carrier>,
    request: Request<Incoming>,
) -> Result<Response<Answered>, NoAnswer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
    let Received {
        head,
        body,
        trailers,
    } = carrier.exchange(Request::from_parts(head, body)).await?;
    Ok(head.map(|()| Full::new(body).with_trailers(ready(trailers.map(Ok)))))
}

/// A name for the pipe, which no request keeps.
const PIPE: &str = "http://collector";

/// So many bytes may be on their way in the pipe.
const PIPE_SIZE: usize = 64 * 1024;
