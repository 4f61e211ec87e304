//! A language server in small: HTTP/1.1 and HTTP/2, in the clear or with a certificate that it signed itself.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::cascade::client::{Client, Endpoint, Timeouts, Token};

pub(super) type Body = BoxBody<Bytes, Infallible>;

pub(super) const TOKEN: &str = "7f3c-s3cr3t";
pub(super) const TOKEN_FIELD: &str = "x-codeium-csrf-token";

/// Ends with the test.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    _stop: DropGuard,
}

/// Answers every request with `answer`.
pub(super) async fn serve<A, F>(tls: Option<Arc<ServerConfig>>, answer: A) -> Server
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    serve_on(listener, addr, tls, answer)
}

/// The same on a port that was in use before.
pub(super) async fn serve_again<A, F>(addr: SocketAddr, tls: Option<Arc<ServerConfig>>, answer: A) -> Server
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // The server before lets go of the port in a task of its own.
    let listener = loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    serve_on(listener, addr, tls, answer)
}

fn serve_on<A, F>(listener: TcpListener, addr: SocketAddr, tls: Option<Arc<ServerConfig>>, answer: A) -> Server
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let tasks = Tasks { tracker: TaskTracker::new(), end: CancellationToken::new() };
    let (stop, acceptor) = (tasks.end.clone().drop_guard(), tls.map(TlsAcceptor::from));
    tasks.clone().execute(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let (acceptor, answer, tasks) = (acceptor.clone(), answer.clone(), tasks.clone());
            tasks.clone().execute(async move {
                match acceptor {
                    None => converse(tcp, answer, tasks).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            converse(stream, answer, tasks).await;
                        }
                    }
                }
            });
        }
    });
    Server { addr, _stop: stop }
}

async fn converse<S, A, F>(stream: S, answer: A, tasks: Tasks)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = auto::Builder::new(tasks).serve_connection(TokioIo::new(stream), service).await;
}

#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let end = self.end.clone();
        self.tracker.spawn(async move { end.run_until_cancelled(future).await.is_some() });
    }
}

/// Reads a request's head and writes `bytes`, then closes.
pub(super) async fn raw(bytes: impl Into<Bytes>) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let (addr, end, bytes) = (listener.local_addr().expect("its address"), CancellationToken::new(), bytes.into());
    let stop = end.clone().drop_guard();
    TaskTracker::new().spawn(end.run_until_cancelled_owned(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                tcp.read_buf(&mut head).await.expect("a request");
            }
            tcp.write_all(&bytes).await.expect("a client that listens");
            // A close with bytes unread would be a reset, which may overtake what was written.
            tcp.shutdown().await.expect("a client that listens");
            let _ = tcp.read_to_end(&mut head).await;
        }
    }));
    Server { addr, _stop: stop }
}

/// Accepts connections and says nothing.
pub(super) async fn silent() -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let (addr, end) = (listener.local_addr().expect("its address"), CancellationToken::new());
    let stop = end.clone().drop_guard();
    TaskTracker::new().spawn(end.run_until_cancelled_owned(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.expect("a connection"));
        }
    }));
    Server { addr, _stop: stop }
}

/// A certificate for `localhost`, signed by itself as the language server's is.
pub(super) fn self_signed(alpn: &[&str]) -> Arc<ServerConfig> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a configuration");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub(super) fn client(http: Option<&Server>, https: Option<&Server>) -> Client {
    client_with(TaskTracker::new(), http, https)
}

pub(super) fn client_with(tasks: TaskTracker, http: Option<&Server>, https: Option<&Server>) -> Client {
    let endpoint = Endpoint::new(http.map(|s| s.addr), https.map(|s| s.addr), Token::new(TOKEN));
    Client::new(endpoint.expect("an endpoint"), tasks)
}

/// Enough for a busy machine where no limit should be reached, and nothing where the test waits for one.
pub(super) fn impatient() -> Timeouts {
    Timeouts { connect: Duration::from_millis(50), head: Duration::from_millis(50), silence: Duration::from_millis(50) }
}

pub(super) fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).boxed();
    Response::builder().status(status).header("content-type", content_type).body(body).expect("a response")
}

pub(super) fn json(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    answer(status, "application/json", body)
}

/// A body of the given frames.
pub(super) fn frames<I>(frames: I) -> Body
where
    I: IntoIterator<Item = Frame<Bytes>>,
    I::IntoIter: Send + Sync + 'static,
{
    let frames = frames.into_iter().map(Ok);
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

/// The body of a stream that never says more than `first`.
pub(super) fn unfinished(first: Bytes) -> Body {
    use futures_util::StreamExt as _;
    let first = futures_util::stream::iter([Ok(Frame::data(first))]);
    BodyExt::boxed(StreamBody::new(first.chain(futures_util::stream::pending())))
}

pub(super) fn trailers(fields: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    let fields = fields.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
    Frame::trailers(fields.collect::<HeaderMap>())
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A frame of a Connect stream or of gRPC.
pub(super) fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&[flags], length.as_slice(), payload].concat()
}

/// The head of an answer that ends with the connection.
pub(super) fn head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n").into_bytes()
}
