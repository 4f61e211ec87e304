//! Sends requests over gRPC: the generated client on Gravimeter's own connections.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use super::answer::{Answer, Rejected};
use super::delivery::Message;
use super::http::{Client, Connections, MAX_ANSWER, fields};
use super::{Compression, Destination};

/// The generated clients have their settings in common, but no trait that would say so.
macro_rules! configured {
    ($grpc:ident, $Client:ident, $service:ident) => {{
        let client = $Client::with_origin($service, $grpc.origin.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER);
        match $grpc.compression {
            Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
            Compression::None => client,
        }
    }};
}

/// OTLP over gRPC.
pub(super) struct Grpc {
    client: Client<tonic::body::Body>,
    connections: Connections,
    origin: Uri,
    fields: HeaderMap,
    compression: Compression,
}

impl Grpc {
    pub(super) fn new(destination: &Destination, mut connections: Connections) -> Self {
        let client = connections.client(true);
        let (origin, fields) = (destination.endpoint.origin(), fields(&destination.headers));
        Self {
            client,
            connections,
            origin,
            fields,
            compression: destination.compression,
        }
    }

    /// Closes the connection; the next request opens another one.
    pub(super) fn reconnect(&mut self) {
        self.client = self.connections.client(true);
    }

    /// Sends a request and reads its answer. The caller sets the limit in time.
    pub(super) async fn send(&self, message: Message) -> Answer {
        let received = SharedReceived::default();
        let service = tower::service_fn({
            let (client, received) = (self.client.clone(), Arc::clone(&received));
            move |request| exchange(client.clone(), request, Arc::clone(&received))
        });
        let rejected = match message {
            Message::Metrics(message) => {
                let mut client = configured!(self, MetricsServiceClient, service);
                client
                    .export(self.request(message))
                    .await
                    .map(|answer| answer.into_inner().into())
            }
            Message::Traces(message) => {
                let mut client = configured!(self, TraceServiceClient, service);
                client
                    .export(self.request(message))
                    .await
                    .map(|answer| answer.into_inner().into())
            }
        };
        match rejected {
            Ok(Rejected(rejected)) => Answer::Taken { rejected },
            Err(status) => failure(&status, &received),
        }
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let metadata = MetadataMap::from_headers(self.fields.clone());
        tonic::Request::from_parts(metadata, Extensions::default(), message)
    }
}

/// The answer of a failure. tonic reports its own failures in the type of the collector's status:
/// what was received distinguishes them.
fn failure(status: &Status, received: &SharedReceived) -> Answer {
    let received = std::mem::take(&mut *lock(received));
    match received {
        Received {
            refusal: Some(refusal),
            ..
        } => refusal,
        Received { status: true, .. } => Answer::of_status(status),
        Received { head: true, .. } if status.source().is_none() => Answer::unreadable(),
        _ => Answer::unreachable(),
    }
}

/// Runs one HTTP/2 exchange for tonic, and notes the answer's own status.
async fn exchange(
    client: Client<tonic::body::Body>,
    request: Request<tonic::body::Body>,
    received: SharedReceived,
) -> Result<Response<tonic::body::Body>, Box<dyn Error + Send + Sync>> {
    let answer = client.request(request).await?;
    if !answer.status().is_success() {
        // Not gRPC, but a gateway on the way: the HTTP status counts.
        let refusal = Answer::of_refusal(answer.status(), answer.headers(), SystemTime::now());
        lock(&received).refusal = Some(refusal);
        return Err(NotGrpc.into());
    }
    lock(&received).head = true;
    note_status(&received, answer.headers());
    Ok(answer.map(|body| {
        tonic::body::Body::new(body.map_frame(move |frame| {
            frame
                .trailers_ref()
                .inspect(|trailers| note_status(&received, trailers));
            frame
        }))
    }))
}

/// What has been received of an answer.
#[derive(Default)]
struct Received {
    /// A successful HTTP response.
    head: bool,
    /// The collector's status of the call.
    status: bool,
    /// The answer that any other HTTP response means.
    refusal: Option<Answer>,
}

/// Shared by both ends of the same exchange; locked briefly.
type SharedReceived = Arc<Mutex<Received>>;

fn lock(received: &SharedReceived) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_status(received: &SharedReceived, fields: &HeaderMap) {
    if fields.contains_key(STATUS) {
        lock(received).status = true;
    }
}

/// The error for an answer that is not gRPC.
#[derive(Debug, thiserror::Error)]
#[error("the answer is no gRPC")]
struct NotGrpc;

/// The field of gRPC's status.
const STATUS: &str = "grpc-status";
