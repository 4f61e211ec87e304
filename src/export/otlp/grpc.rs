//! Requests over gRPC: the generated client on connections of our own.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Status};

use super::answer::Answer;
use super::http::{Client, Connections, MAX_ANSWER, fields};
use super::{Compression, Config, Endpoint};

/// OTLP over gRPC.
pub(super) struct Grpc {
    client: Client<tonic::body::Body>,
    connections: Connections,
    origin: Uri,
    fields: HeaderMap,
    compression: Compression,
}

impl Grpc {
    pub(super) fn new(config: &Config, endpoint: &Endpoint, mut connections: Connections) -> Self {
        let client = connections.client(true);
        let (origin, fields) = (endpoint.origin(), fields(config));
        Self { client, connections, origin, fields, compression: config.compression }
    }

    /// Closes the connection; the next request opens another one.
    pub(super) fn connect_anew(&mut self) {
        self.client = self.connections.client(true);
    }

    /// Sends a request and reads its answer. The caller sets the limit in time.
    pub(super) async fn send(&self, message: ExportTraceServiceRequest) -> Answer {
        let heard = Heard::default();
        let service = tower::service_fn({
            let (client, heard) = (self.client.clone(), heard.clone());
            move |request| exchange(client.clone(), request, heard.clone())
        });
        let mut client = TraceServiceClient::with_origin(service, self.origin.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER);
        if self.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let metadata = MetadataMap::from_headers(self.fields.clone());
        match client.export(tonic::Request::from_parts(metadata, Extensions::default(), message)).await {
            Ok(answer) => Answer::of_message(answer.get_ref()),
            Err(status) => failure(&status, &heard),
        }
    }
}

/// tonic reports its own troubles in the type of the collector's status: the difference is whether a status was heard.
fn failure(status: &Status, heard: &Heard) -> Answer {
    match status.code() {
        _ if heard.status() => Answer::of_status(status),
        _ if !heard.head() => Answer::unreachable(),
        // What tonic makes of an HTTP status that some gateway has sent, 502 or 503.
        Code::Unavailable => Answer::of_status(status),
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => Answer::of_status(status),
        _ if status.source().is_some() => Answer::unreachable(),
        _ => Answer::unreadable(),
    }
}

/// One HTTP/2 exchange for tonic, with an ear for the status in the answer.
async fn exchange(
    client: Client<tonic::body::Body>,
    request: Request<tonic::body::Body>,
    heard: Heard,
) -> Result<Response<tonic::body::Body>, Box<dyn Error + Send + Sync>> {
    let answer = client.request(request).await?;
    heard.note_head(answer.headers());
    Ok(answer.map(|body| {
        tonic::body::Body::new(body.map_frame(move |frame| {
            if let Some(trailers) = frame.trailers_ref() {
                heard.note_status(trailers);
            }
            frame
        }))
    }))
}

/// What has come of an answer so far.
#[derive(Clone, Default)]
struct Heard(Arc<[AtomicBool; 2]>);

impl Heard {
    fn note_head(&self, headers: &HeaderMap) {
        let [head, _] = &*self.0;
        head.store(true, Ordering::Relaxed);
        self.note_status(headers);
    }

    fn note_status(&self, headers: &HeaderMap) {
        let [_, status] = &*self.0;
        if headers.contains_key(STATUS) {
            status.store(true, Ordering::Relaxed);
        }
    }

    fn head(&self) -> bool {
        let [head, _] = &*self.0;
        head.load(Ordering::Relaxed)
    }

    fn status(&self) -> bool {
        let [_, status] = &*self.0;
        status.load(Ordering::Relaxed)
    }
}

/// Where gRPC says how a call ended.
const STATUS: &str = "grpc-status";
