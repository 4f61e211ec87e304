//! A collector that does what its script says, over gRPC and over HTTP.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What the collector does with a request.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    /// Ends it by a gRPC status.
    Grpc(u8),
    /// Sends more than any answer has.
    Huge,
    /// Takes it all, but for so many spans or points.
    Partial(i64),
    /// Ends the exchange without an answer.
    Reset,
    /// Never answers.
    Silent,
    /// Answers with an HTTP status.
    Status(u16),
    /// Takes it all.
    Take,
    /// Answers with a page for people.
    WebPage,
}

#[derive(Default)]
struct Seen {
    /// One for each request: its head and how many spans or metrics it had.
    requests: Vec<(HeaderMap, usize)>,
    spans: Vec<Span>,
    resources: Vec<Resource>,
    /// Those of each request that were taken.
    pushes: Vec<Vec<Metric>>,
    /// The requests themselves, unpacked.
    messages: Vec<Vec<u8>>,
    connections: usize,
}

struct Script {
    replies: Vec<Reply>,
    seen: Mutex<Seen>,
}

/// Runs until it is dropped.
pub struct Collector {
    pub addr: SocketAddr,
    script: Arc<Script>,
    _end: DropGuard,
}

impl Collector {
    /// One reply for each request; the last one for all that follow.
    pub async fn start(replies: &[Reply]) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), replies, None).await
    }

    pub async fn at(addr: SocketAddr, replies: &[Reply], tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let script = Arc::new(Script {
            replies: replies.to_vec(),
            seen: Mutex::default(),
        });
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let accept = accept(
            listener,
            tls,
            Arc::clone(&script),
            tasks.clone(),
            end.clone(),
        );
        tasks.spawn(end.clone().run_until_cancelled_owned(accept));
        Self {
            addr,
            script,
            _end: end.drop_guard(),
        }
    }

    pub fn requests(&self) -> Vec<(HeaderMap, usize)> {
        self.script.seen.lock().expect("a lock").requests.clone()
    }

    /// Every span that has come.
    pub fn all(&self) -> Vec<Span> {
        self.script.seen.lock().expect("a lock").spans.clone()
    }

    /// The metrics of every request that was taken.
    pub fn pushes(&self) -> Vec<Vec<Metric>> {
        self.script.seen.lock().expect("a lock").pushes.clone()
    }

    /// Who has sent each request.
    pub fn resources(&self) -> Vec<Resource> {
        self.script.seen.lock().expect("a lock").resources.clone()
    }

    /// Every request as it came, but unpacked.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.script.seen.lock().expect("a lock").messages.clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.script.seen.lock().expect("a lock").connections
    }

    /// The spans of each request.
    pub fn spans(&self) -> Vec<usize> {
        self.requests().iter().map(|(_, spans)| *spans).collect()
    }
}

/// The value of an attribute that is a number.
pub fn number(span: &Span, attribute: &str) -> Option<u64> {
    let Value::IntValue(number) = value(span, attribute)? else {
        return None;
    };
    u64::try_from(*number).ok()
}

/// The value of an attribute that is no whole number.
pub fn fraction(span: &Span, attribute: &str) -> Option<f64> {
    let Value::DoubleValue(number) = value(span, attribute)? else {
        return None;
    };
    Some(*number)
}

/// The value of an attribute that is a text.
pub fn text<'a>(span: &'a Span, attribute: &str) -> Option<&'a str> {
    let Value::StringValue(text) = value(span, attribute)? else {
        return None;
    };
    Some(text)
}

fn value<'a>(span: &'a Span, attribute: &str) -> Option<&'a Value> {
    span.attributes
        .iter()
        .find(|it| it.key == attribute)?
        .value
        .as_ref()?
        .value
        .as_ref()
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    script: Arc<Script>,
    tasks: TaskTracker,
    end: CancellationToken,
) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        script.seen.lock().expect("a lock").connections += 1;
        let (script, tls) = (Arc::clone(&script), tls.clone());
        let serve = async move {
            match tls {
                None => serve(tcp, script).await,
                Some(tls) => {
                    if let Ok(session) = TlsAcceptor::from(tls).accept(tcp).await {
                        serve(session, script).await;
                    }
                }
            }
        };
        tasks.spawn(end.clone().run_until_cancelled_owned(serve));
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, script: Arc<Script>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&script)));
    // The connection may end in any way that the script has.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The exchange ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the script says so")]
struct Cut;

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, script: Arc<Script>) -> Result<Response<Body>, Cut> {
    let (is_grpc, is_metrics) = match request.uri().path() {
        "/v1/metrics" => (false, true),
        "/v1/traces" => (false, false),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => (true, true),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => (true, false),
        other => panic!("{other} is no path of OTLP"),
    };
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let message = unpack(&head.headers, &body, is_grpc);
    let (spans, metrics, resource) = if is_metrics {
        let request = ExportMetricsServiceRequest::decode(&*message).expect("a request");
        let resource = request.resource_metrics[0].resource.clone();
        (vec![], metrics(request), resource)
    } else {
        let request = ExportTraceServiceRequest::decode(&*message).expect("a request");
        let resource = request.resource_spans[0].resource.clone();
        (spans(request), vec![], resource)
    };
    let reply = {
        let mut seen = script.seen.lock().expect("a lock");
        let turn = seen.requests.len().min(script.replies.len() - 1);
        let reply = script.replies[turn];
        seen.requests
            .push((head.headers, spans.len() + metrics.len()));
        seen.resources.extend(resource);
        seen.spans.extend(spans);
        if matches!(reply, Reply::Take | Reply::Partial(_)) && is_metrics {
            seen.pushes.push(metrics);
        }
        seen.messages.push(message);
        reply
    };
    match reply {
        Reply::Reset => Err(Cut),
        Reply::Silent => std::future::pending().await,
        reply => Ok(if is_grpc {
            of_grpc(reply)
        } else {
            of_http(reply)
        }),
    }
}

fn unpack(headers: &HeaderMap, body: &[u8], is_grpc: bool) -> Vec<u8> {
    let (packed, message) = if is_grpc {
        (body[0] == 1, &body[5..])
    } else {
        (headers.contains_key("content-encoding"), body)
    };
    let mut plain = message.to_vec();
    if packed {
        plain.clear();
        GzDecoder::new(message)
            .read_to_end(&mut plain)
            .expect("gzip");
    }
    plain
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn metrics(request: ExportMetricsServiceRequest) -> Vec<Metric> {
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

/// The answers of both signals have the same form on the wire.
fn taken(rejected_spans: i64) -> Bytes {
    let partial_success = (rejected_spans > 0).then(|| ExportTracePartialSuccess {
        rejected_spans,
        error_message: "some are too old".to_owned(),
    });
    ExportTraceServiceResponse { partial_success }
        .encode_to_vec()
        .into()
}

fn of_http(reply: Reply) -> Response<Body> {
    let (status, kind, body) = match reply {
        Reply::Huge => (200, "application/x-protobuf", vec![0; HUGE].into()),
        Reply::Partial(rejected) => (200, "application/x-protobuf", taken(rejected)),
        Reply::Status(status) => (
            status,
            "text/plain",
            Bytes::from_static(b"words of the collector's own"),
        ),
        Reply::Take => (200, "application/x-protobuf", taken(0)),
        Reply::WebPage => (200, "text/html", Bytes::from_static(b"<html>")),
        other => panic!("{other:?} is nothing of HTTP"),
    };
    respond(status, kind, Full::new(body).boxed())
}

fn of_grpc(reply: Reply) -> Response<Body> {
    let message = match reply {
        Reply::Grpc(code) => {
            let mut response = respond(200, GRPC, Full::default().boxed());
            response
                .headers_mut()
                .insert("grpc-status", HeaderValue::from(u16::from(code)));
            response.headers_mut().insert(
                "grpc-message",
                HeaderValue::from_static("words of the collector's own"),
            );
            return response;
        }
        Reply::Huge => vec![0; HUGE].into(),
        Reply::Partial(rejected) => taken(rejected),
        Reply::Status(status) => return respond(status, "text/plain", Full::default().boxed()),
        Reply::Take => taken(0),
        Reply::WebPage => {
            return respond(
                200,
                "text/html",
                Full::new(Bytes::from_static(b"<html>")).boxed(),
            );
        }
        other => panic!("{other:?} is nothing of gRPC"),
    };
    let length = u32::try_from(message.len()).expect("a message");
    let frame = [&[0], &length.to_be_bytes()[..], &message].concat();
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from(0),
    )]);
    respond(
        200,
        GRPC,
        Full::new(Bytes::from(frame))
            .with_trailers(async { Some(Ok(trailers)) })
            .boxed(),
    )
}

fn respond(status: u16, kind: &'static str, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(body)
        .expect("a response")
}

const GRPC: &str = "application/grpc";

/// More than any answer has, and more than a program should keep of one.
const HUGE: usize = 16 << 20;
