//! A language server in small: HTTP/1.1 and HTTP/2, in the clear or with a certificate that it
//! signed itself.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
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
    tls: Arc<Mutex<Option<TlsAcceptor>>>,
    _stop: DropGuard,
}

impl Server {
    fn new(addr: SocketAddr, tls: Option<Arc<ServerConfig>>, end: CancellationToken) -> Self {
        let tls = Arc::new(Mutex::new(tls.map(TlsAcceptor::from)));
        Self {
            addr,
            tls,
            _stop: end.drop_guard(),
        }
    }

    /// From now on new connections are shown this identity.
    pub(super) fn become_another(&self, tls: Arc<ServerConfig>) {
        *self.tls.lock().expect("an identity") = Some(tls.into());
    }
}

/// Answers every request with `answer`.
pub(super) async fn serve<A, F>(tls: Option<Arc<ServerConfig>>, answer: A) -> Server
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (listener, addr) = listen().await;
    let tasks = Tasks {
        tracker: TaskTracker::new(),
        end: CancellationToken::new(),
    };
    let server = Server::new(addr, tls, tasks.end.clone());
    let identity = server.tls.clone();
    tasks.clone().execute(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let acceptor = identity.lock().expect("an identity").clone();
            let (answer, tasks) = (answer.clone(), tasks.clone());
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
    server
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("its address");
    (listener, addr)
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
    let _ = auto::Builder::new(tasks)
        .serve_connection(TokioIo::new(stream), service)
        .await;
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
        self.tracker
            .spawn(async move { end.run_until_cancelled(future).await.is_some() });
    }
}

/// Reads a request's head and writes `bytes`, then closes.
pub(super) async fn raw(bytes: impl Into<Bytes>) -> Server {
    let ((listener, addr), end, bytes) = (listen().await, CancellationToken::new(), bytes.into());
    TaskTracker::new().spawn(end.clone().run_until_cancelled_owned(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                // Not every client that comes by speaks HTTP.
                if tcp.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = tcp.write_all(&bytes).await;
            // A close with bytes unread would be a reset, which may overtake what was written.
            let _ = tcp.shutdown().await;
            let _ = tcp.read_to_end(&mut head).await;
        }
    }));
    Server::new(addr, None, end)
}

/// Accepts connections and says nothing.
pub(super) async fn silent() -> Server {
    let ((listener, addr), end) = (listen().await, CancellationToken::new());
    TaskTracker::new().spawn(end.clone().run_until_cancelled_owned(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.expect("a connection"));
        }
    }));
    Server::new(addr, None, end)
}

/// A certificate for `localhost`, signed by itself as the language server's is.
pub(super) fn self_signed(alpn: &[&str]) -> Arc<ServerConfig> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params
        .self_signed(&key)
        .expect("a certificate")
        .der()
        .clone();
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

pub(super) fn client_with(
    tasks: TaskTracker,
    http: Option<&Server>,
    https: Option<&Server>,
) -> Client {
    let endpoint = Endpoint::new(
        http.map(|s| s.addr),
        https.map(|s| s.addr),
        Token::new(TOKEN),
    );
    Client::new(endpoint.expect("an endpoint"), tasks).with_timeouts(patient())
}

/// For steps that succeed, however busy the machine is.
pub(super) fn patient() -> Timeouts {
    let limit = Duration::from_secs(60);
    Timeouts {
        connect: limit,
        head: limit,
        silence: limit,
    }
}

/// For the step whose end the test waits for.
pub(super) fn impatient() -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(50),
        head: Duration::from_millis(50),
        silence: Duration::from_millis(50),
    }
}

pub(super) fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).boxed();
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body)
        .expect("a response")
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
    BodyExt::boxed(StreamBody::new(
        first.chain(futures_util::stream::pending()),
    ))
}

pub(super) fn trailers(fields: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    let fields = fields.iter().map(|(name, value)| {
        (
            name.parse().expect("a name"),
            value.parse().expect("a value"),
        )
    });
    Frame::trailers(fields.collect::<HeaderMap>())
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A frame of a Connect stream or of gRPC.
pub(super) fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    [&[flags], length.as_slice(), payload].concat()
}

/// The head of an answer that ends with the connection.
pub(super) fn head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n")
        .into_bytes()
}
