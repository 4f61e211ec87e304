//! What makes requests of spans and of metrics: the exporter of `opentelemetry-otlp` for spans, and
//! its transports for metrics.
//!
//! That crate's exporter of metrics takes only what the SDK has aggregated, without exemplars and
//! with histograms of the SDK's own; `docs/tracing.md` says more.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use opentelemetry_http::HttpClient as _;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use super::carrier::Carrier;
use super::channel::channel;
use super::connections::ConnectionTasks;
use super::{Compression, Destination, Resource, Signal};

/// Makes requests of one signal for a [`Carrier`], which knows what becomes of them.
pub(super) trait Sender: Sized + Send + Sync {
    const SIGNAL: Signal;
    type Data: Sync;

    /// # Errors
    /// What is wrong with the settings; nothing can be, as far as is known.
    fn over(
        carrier: Arc<Carrier>,
        destination: &Destination,
        resource: &Resource,
        tasks: ConnectionTasks,
    ) -> Result<Self, ExporterBuildError>;

    /// Sends one request.
    fn send(&self, data: &Self::Data) -> impl Future<Output = ()> + Send;
}

impl Sender for SpanExporter {
    const SIGNAL: Signal = Signal::Traces;
    type Data = Vec<SpanData>;

    /// Everything is set here that the library would otherwise read from the environment, except
    /// headers and compression, which it always reads: the carrier sets them right. Requests are
    /// repeated by [`super::delivery`], which counts what is lost and tells when the program ends.
    fn over(
        carrier: Arc<Carrier>,
        destination: &Destination,
        resource: &Resource,
        tasks: ConnectionTasks,
    ) -> Result<Self, ExporterBuildError> {
        let gzip = opentelemetry_otlp::Compression::Gzip;
        let mut exporter = if destination.is_grpc() {
            let builder = Self::builder()
                .with_tonic()
                .with_channel(channel(carrier, tasks))
                .with_timeout(Duration::MAX)
                .with_retry_policy(RetryPolicy::disabled());
            match destination.compression {
                Compression::Gzip => builder.with_compression(gzip),
                Compression::None => builder,
            }
            .build()?
        } else {
            let builder = Self::builder()
                .with_http()
                .with_shared_http_client(carrier)
                .with_endpoint(destination.endpoint.of(Self::SIGNAL).to_string())
                .with_protocol(Protocol::HttpBinary)
                .with_timeout(Duration::MAX)
                .with_retry_policy(RetryPolicy::disabled())
                .with_max_request_body_size(usize::MAX);
            match destination.compression {
                Compression::Gzip => builder.with_compression(gzip),
                Compression::None => builder,
            }
            .build()?
        };
        exporter.set_resource(&resource.0);
        Ok(exporter)
    }

    async fn send(&self, spans: &Vec<SpanData>) {
        // The carrier has noted more than the result says.
        let _ = self.export(spans.clone()).await;
    }
}

/// Sends metrics.
pub(super) enum MetricSender {
    Grpc(MetricsServiceClient<Channel>),
    Http {
        carrier: Arc<Carrier>,
        uri: Uri,
        compression: Compression,
    },
}

impl Sender for MetricSender {
    const SIGNAL: Signal = Signal::Metrics;
    type Data = ExportMetricsServiceRequest;

    fn over(
        carrier: Arc<Carrier>,
        destination: &Destination,
        _: &Resource,
        tasks: ConnectionTasks,
    ) -> Result<Self, ExporterBuildError> {
        let compression = destination.compression;
        if !destination.is_grpc() {
            return Ok(Self::Http {
                carrier,
                uri: destination.endpoint.of(Self::SIGNAL),
                compression,
            });
        }
        let client = MetricsServiceClient::new(channel(carrier, tasks));
        Ok(Self::Grpc(match compression {
            Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
            Compression::None => client,
        }))
    }

    async fn send(&self, message: &ExportMetricsServiceRequest) {
        // The carrier has noted more than the results say.
        match self {
            Self::Grpc(client) => {
                let _ = client.clone().export(message.clone()).await;
            }
            Self::Http {
                carrier,
                uri,
                compression,
            } => {
                let _ = carrier.send_bytes(post(uri, *compression, message)).await;
            }
        }
    }
}

fn post(
    uri: &Uri,
    compression: Compression,
    message: &ExportMetricsServiceRequest,
) -> Request<bytes::Bytes> {
    let message = message.encode_to_vec();
    let is_gzip = compression == Compression::Gzip;
    let body = if is_gzip { gzip(&message) } else { message };
    let mut request = Request::new(body.into());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let fields = request.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    );
    if is_gzip {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    request
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}
