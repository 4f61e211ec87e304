//! From an address to a connection that carries requests: TCP or CONNECT, TLS, HTTP/1.1 or HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{AgentError, AgentOptions};
use crate::demo::pieces::Pieces;
use crate::demo::pki::{crypto, wire_alpn};
use crate::demo::server::Tasks;

/// Makes connections to one provider.
pub(super) struct Dialer {
    host: String,
    port: u16,
    dial: Option<SocketAddr>,
    proxy: Option<SocketAddr>,
    name: ServerName<'static>,
    tls: TlsConnector,
    tasks: Tasks,
}

/// An open connection.
pub(super) enum Connection {
    /// One request at a time.
    Http1(http1::SendRequest<Pieces>),
    /// Streams.
    Http2(http2::SendRequest<Pieces>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("connect: {0}")]
    Connect(io::Error),
    #[error("the proxy did not open a tunnel: {0}")]
    Proxy(String),
    #[error("TLS handshake: {0}")]
    Tls(io::Error),
    #[error("HTTP handshake: {0}")]
    Http(#[from] hyper::Error),
    #[error("no connection within {} s", DIAL_TIMEOUT.as_secs())]
    TimedOut,
}

impl Dialer {
    /// Trusts only the roots in the options' bundle. An empty `alpn` leaves the extension out.
    pub(super) fn new(
        options: &AgentOptions,
        alpn: &[&str],
        tasks: &Tasks,
    ) -> Result<Self, AgentError> {
        let mut config = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(&options.bundle)?)
            .with_no_client_auth();
        config.alpn_protocols = wire_alpn(alpn);
        let name = ServerName::try_from(options.host.clone())
            .map_err(|_| AgentError::Host(options.host.clone()))?;
        Ok(Self {
            host: options.host.clone(),
            port: options.port,
            dial: options.dial,
            proxy: options.proxy,
            name,
            tls: TlsConnector::from(Arc::new(config)),
            tasks: tasks.clone(),
        })
    }

    /// The host name of requests.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, DialError> {
        timeout(DIAL_TIMEOUT, self.establish())
            .await
            .map_err(|_| DialError::TimedOut)?
    }

    async fn establish(&self) -> Result<Connection, DialError> {
        let tcp = self.tcp().await?;
        // Without it small requests wait for the peer's delayed ACK. A socket that refuses the
        // option still works.
        let _ = tcp.set_nodelay(true);
        let tls = self
            .tls
            .connect(self.name.clone(), tcp)
            .await
            .map_err(DialError::Tls)?;
        let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(tls);
        if h2 {
            let (sender, driver) = http2::handshake(self.tasks.clone(), io).await?;
            self.tasks.spawn(driver);
            return Ok(Connection::Http2(sender));
        }
        let (sender, driver) = http1::handshake(io).await?;
        self.tasks.spawn(driver.with_upgrades());
        Ok(Connection::Http1(sender))
    }

    async fn tcp(&self) -> Result<TcpStream, DialError> {
        let connected = match (self.proxy, self.dial) {
            (Some(proxy), _) => return self.tunnel(proxy).await,
            (None, Some(addr)) => TcpStream::connect(addr).await,
            (None, None) => TcpStream::connect((self.host.as_str(), self.port)).await,
        };
        connected.map_err(DialError::Connect)
    }

    async fn tunnel(&self, proxy: SocketAddr) -> Result<TcpStream, DialError> {
        let mut tcp = TcpStream::connect(proxy)
            .await
            .map_err(DialError::Connect)?;
        let target = format!("{}:{}", self.host, self.port);
        let request = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"
        );
        tcp.write_all(request.as_bytes())
            .await
            .map_err(DialError::Connect)?;
        // Nothing can follow the head before our ClientHello, so that reading in bulk takes nothing
        // from TLS.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > PROXY_HEAD_LIMIT {
                return Err(DialError::Proxy("its answer is too long".to_owned()));
            }
            if tcp.read_buf(&mut head).await.map_err(DialError::Connect)? == 0 {
                return Err(DialError::Proxy("it closed the connection".to_owned()));
            }
        }
        match head.get(..12) {
            Some(b"HTTP/1.1 200") => Ok(tcp),
            start => Err(DialError::Proxy(
                String::from_utf8_lossy(start.unwrap_or_default()).into_owned(),
            )),
        }
    }
}

impl Connection {
    /// Whether it takes another request; waits until the previous one is out of the way.
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends the request and waits for the head of the response.
    pub(super) async fn send(
        &mut self,
        request: Request<Pieces>,
    ) -> Result<http::Response<Incoming>, hyper::Error> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Whether requests need their authority in the URI (HTTP/2) or in `Host` (HTTP/1.1).
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

fn roots(bundle: &Path) -> Result<RootCertStore, AgentError> {
    let failed = |reason: String| AgentError::Bundle {
        path: bundle.to_owned(),
        reason,
    };
    let certificates =
        CertificateDer::pem_file_iter(bundle).map_err(|error| failed(error.to_string()))?;
    let certificates: Vec<_> = certificates
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    let mut store = RootCertStore::empty();
    match store.add_parsable_certificates(certificates) {
        (0, _) => Err(failed("no usable certificate in it".to_owned())),
        _ => Ok(store),
    }
}

/// TCP, proxy, TLS and HTTP handshakes together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a proxy's answer to CONNECT, far above what one sends.
const PROXY_HEAD_LIMIT: usize = 8 << 10;
