//! Requests over gRPC: the generated client on connections of our own.

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
    pub(super) fn connect_anew(&mut self) {
        self.client = self.connections.client(true);
    }

    /// Sends a request and reads its answer. The caller sets the limit in time.
    pub(super) async fn send(&self, message: Message) -> Answer {
        let heard = Shared::default();
        let service = tower::service_fn({
            let (client, heard) = (self.client.clone(), Arc::clone(&heard));
            move |request| exchange(client.clone(), request, Arc::clone(&heard))
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
            Err(status) => failure(&status, &heard),
        }
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let metadata = MetadataMap::from_headers(self.fields.clone());
        tonic::Request::from_parts(metadata, Extensions::default(), message)
    }
}

/// tonic reports its own troubles in the type of the collector's status: the difference is what was
/// heard.
fn failure(status: &Status, heard: &Shared) -> Answer {
    let heard = std::mem::take(&mut *lock(heard));
    match heard {
        Heard {
            refusal: Some(refusal),
            ..
        } => refusal,
        Heard { status: true, .. } => Answer::of_status(status),
        Heard { head: true, .. } if status.source().is_none() => Answer::unreadable(),
        _ => Answer::unreachable(),
    }
}

/// One HTTP/2 exchange for tonic, with an ear for the answer's own status.
async fn exchange(
    client: Client<tonic::body::Body>,
    request: Request<tonic::body::Body>,
    heard: Shared,
) -> Result<Response<tonic::body::Body>, Box<dyn Error + Send + Sync>> {
    let answer = client.request(request).await?;
    if !answer.status().is_success() {
        // No gRPC, but some gateway on the way: what HTTP says counts.
        let refusal = Answer::of_refusal(answer.status(), answer.headers(), SystemTime::now());
        lock(&heard).refusal = Some(refusal);
        return Err(NotGrpc.into());
    }
    lock(&heard).head = true;
    note_status(&heard, answer.headers());
    Ok(answer.map(|body| {
        tonic::body::Body::new(body.map_frame(move |frame| {
            frame
                .trailers_ref()
                .inspect(|trailers| note_status(&heard, trailers));
            frame
        }))
    }))
}

/// What has come of an answer so far.
#[derive(Default)]
struct Heard {
    /// A response of HTTP that is a success.
    head: bool,
    /// How the collector says that the call has ended.
    status: bool,
    /// Any other response of HTTP, and what it means.
    refusal: Option<Answer>,
}

/// Locked for a moment by either end of the same exchange.
type Shared = Arc<Mutex<Heard>>;

fn lock(heard: &Shared) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_status(heard: &Shared, fields: &HeaderMap) {
    if fields.contains_key(STATUS) {
        lock(heard).status = true;
    }
}

/// An answer that is no gRPC.
#[derive(Debug, thiserror::Error)]
#[error("the answer is no gRPC")]
struct NotGrpc;

/// Where gRPC says how a call ended.
const STATUS: &str = "grpc-status";
