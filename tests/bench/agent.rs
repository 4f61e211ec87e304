//! The agent of the benchmarks: TLS to the provider, straight or through a CONNECT door.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

use crate::provider::HOST;

#[derive(Clone)]
pub struct Agent {
    provider: SocketAddr,
    door: Option<SocketAddr>,
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    /// What redirect rules know its connections by.
    mark: Option<u32>,
    tasks: TaskTracker,
}

/// What a request carries: a prompt of 4 KiB.
static PROMPT: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| {
    let text = "why ".repeat(1024);
    format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#).into()
});

impl Agent {
    /// Without a `door`, straight to the provider.
    pub fn new(
        roots_pem: &str,
        provider: SocketAddr,
        door: Option<SocketAddr>,
        tasks: &TaskTracker,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(roots_pem.as_bytes()).flatten(),
        );
        let roots = Arc::new(roots);
        let (h1, h2) = (client(&roots, b"http/1.1"), client(&roots, b"h2"));
        Self {
            provider,
            door,
            h1,
            h2,
            mark: None,
            tasks: tasks.clone(),
        }
    }

    /// Its connections carry a mark (SO_MARK of socket(7)).
    pub fn marked(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Every handshake is a full one.
    pub fn without_resumption(mut self) -> Self {
        for config in [&mut self.h1, &mut self.h2] {
            Arc::make_mut(config).resumption = Resumption::disabled();
        }
        self
    }

    async fn tcp(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(mark) = self.mark {
            SockRef::from(&socket)
                .set_mark(mark)
                .expect("CAP_NET_ADMIN");
        }
        let mut tcp = socket
            .connect(self.door.unwrap_or(self.provider))
            .await
            .expect("an open door");
        tcp.set_nodelay(true).expect("TCP_NODELAY");
        if self.door.is_some() {
            const OPEN: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";
            tcp.write_all(
                format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n").as_bytes(),
            )
            .await
            .expect("a request");
            let mut answer = vec![0; OPEN.len()];
            tcp.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(answer, OPEN);
        }
        tcp
    }

    async fn tls(&self, config: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(HOST).expect("a host");
        TlsConnector::from(Arc::clone(config))
            .connect(name, self.tcp().await)
            .await
            .expect("a trusted provider")
    }

    /// An HTTP/1.1 connection on which one request was sent; what follows is the raw answer.
    pub async fn raw(&self, query: &str) -> TlsStream<TcpStream> {
        let mut stream = self.raw_head(query, PROMPT.len()).await;
        stream.write_all(&PROMPT).await.expect("a writable stream");
        stream.flush().await.expect("a writable stream");
        stream
    }

    /// The same without its body, which has `length` bytes.
    pub async fn raw_head(&self, query: &str, length: usize) -> TlsStream<TcpStream> {
        let mut stream = self.tls(&self.h1).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            path("gemini-2.5-pro", query),
        );
        stream
            .write_all(head.as_bytes())
            .await
            .expect("a writable stream");
        stream
    }

    pub async fn h1(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.tls(&self.h1).await);
        let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
        self.tasks.spawn(connection);
        sender
    }

    pub async fn h2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.tls(&self.h2).await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("HTTP/2");
        self.tasks.spawn(connection);
        sender
    }
}

fn client(roots: &Arc<RootCertStore>, alpn: &[u8]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_root_certificates(Arc::clone(roots))
    .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

fn path(model: &str, query: &str) -> String {
    format!("/v1beta/models/{model}:streamGenerateContent?alt=sse&{query}")
}

/// A call to `model`; with HTTP/2 the host goes into `:authority`, so the URI is a whole one there.
pub fn request(h2: bool, model: &str, query: &str) -> Request<Full<Bytes>> {
    request_with(PROMPT.clone(), h2, model, query)
}

/// A call with a body of its own.
pub fn request_with(body: Bytes, h2: bool, model: &str, query: &str) -> Request<Full<Bytes>> {
    let origin = if h2 {
        format!("https://{HOST}")
    } else {
        String::new()
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{origin}{}", path(model, query)));
    if !h2 {
        request = request.header("host", HOST);
    }
    request
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("a request")
}

/// Reads an answer to its end and returns its length.
pub async fn drain(response: hyper::Response<hyper::body::Incoming>) -> u64 {
    if response.status() != 200 {
        let (status, body) = (response.status(), response.into_body().collect().await);
        let text = body.map(|body| body.to_bytes()).unwrap_or_default();
        panic!(
            "{status}: {}",
            String::from_utf8_lossy(&text)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        );
    }
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += frame
            .expect("a whole answer")
            .data_ref()
            .map_or(0, |data| data.len() as u64);
    }
    length
}
