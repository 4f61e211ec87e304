//! Opens connections to one language server: TCP that notices a dead peer, TLS where the port
//! speaks it, HTTP on top.
//!
//! Each connection has a [`Driver`]: the task that moves its bytes ends when the driver is dropped.
//! A connection serves one request; on loopback a new one costs less than managing a pool.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::error::{RpcError, RpcStep};
use super::trust::{Refusal, Tls};
use crate::capture::namespace::LoopbackDialer;

/// Opens connections.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    /// Made once, so that the certificate is pinned for all connections; an error is returned at
    /// each use.
    tls: Result<Tls, rustls::Error>,
    tasks: TaskTracker,
    /// Opens connections where the loopback is another network namespace's.
    namespace: Option<LoopbackDialer>,
    /// Timeout of TCP and all handshakes together.
    limit: Duration,
}

/// One of a language server's ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Http(SocketAddr),
    Https(SocketAddr),
}

impl Port {
    pub(super) fn addr(self) -> SocketAddr {
        match self {
            Self::Http(addr) | Self::Https(addr) => addr,
        }
    }
}

/// Keeps a connection's tasks alive; dropping it ends them and closes the connection.
#[derive(Debug)]
pub(super) struct Driver {
    _end: DropGuard,
}

/// A connection over HTTP/1.1.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    pub(super) driver: Driver,
}

/// A connection over HTTP/2.
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<tonic::body::Body>,
    pub(super) driver: Driver,
}

impl Dialer {
    pub(super) fn new(
        tasks: TaskTracker,
        namespace: Option<LoopbackDialer>,
        limit: Duration,
    ) -> Self {
        Self {
            tls: Tls::new(),
            tasks,
            namespace,
            limit,
        }
    }

    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// A connection over HTTP/1.1 to either port.
    pub(super) async fn http1(&self, port: Port) -> Result<Http1, RpcError> {
        self.in_time(async {
            let tcp = self.connect(port.addr()).await?;
            match port {
                Port::Http(_) => self.speak_http1(tcp).await,
                Port::Https(_) => {
                    self.speak_http1(self.tls()?.handshake(tcp, HTTP_1).await?)
                        .await
                }
            }
        })
        .await
    }

    /// A connection over HTTP/2 to the TLS port; `None` when the port does not speak HTTP/2.
    pub(super) async fn http2(&self, https: SocketAddr) -> Result<Option<Http2>, RpcError> {
        self.in_time(async {
            let tcp = self.connect(https).await?;
            let session = match self.tls()?.handshake(tcp, HTTP_2).await {
                Err(Refusal::Protocol) => return Ok(None),
                session => session?,
            };
            match session.get_ref().1.alpn_protocol() {
                Some(HTTP_2) => self.speak_http2(session).await.map(Some),
                _ => Ok(None),
            }
        })
        .await
    }

    async fn speak_http1<S>(&self, stream: S) -> Result<Http1, RpcError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.read_buf_exact_size(Some(READ_BUFFER));
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| RpcError::Closed)?;
        let (tasks, driver) = self.driver();
        tasks.execute(async {
            // Its errors reach the caller that waits for the answer.
            let _ = connection.await;
        });
        Ok(Http1 { sender, driver })
    }

    async fn speak_http2<S>(&self, stream: S) -> Result<Http2, RpcError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (tasks, driver) = self.driver();
        let mut builder = http2::Builder::new(tasks.clone());
        builder.timer(TokioTimer::new());
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| RpcError::Closed)?;
        tasks.execute(async {
            // Its errors reach the caller that waits for the answer.
            let _ = connection.await;
        });
        Ok(Http2 { sender, driver })
    }

    async fn connect(&self, addr: SocketAddr) -> Result<TcpStream, RpcError> {
        let connected = match &self.namespace {
            Some(namespace) => namespace.connect(addr).await,
            None => TcpStream::connect(addr).await,
        };
        let tcp = connected.map_err(|error| RpcError::Connect(error.kind()))?;
        set_options(&tcp);
        Ok(tcp)
    }

    fn tls(&self) -> Result<&Tls, RpcError> {
        self.tls.as_ref().map_err(|_| RpcError::Tls)
    }

    fn driver(&self) -> (ConnectionTasks, Driver) {
        let end = CancellationToken::new();
        (
            ConnectionTasks {
                tracker: self.tasks.clone(),
                end: end.clone(),
            },
            Driver {
                _end: end.drop_guard(),
            },
        )
    }

    async fn in_time<T>(
        &self,
        dial: impl Future<Output = Result<T, RpcError>>,
    ) -> Result<T, RpcError> {
        timeout(self.limit, dial)
            .await
            .unwrap_or(Err(RpcError::Timeout(RpcStep::Connect)))
    }
}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OtherCertificate => Self::OtherCertificate,
            Refusal::Protocol | Refusal::Tls => Self::Tls,
        }
    }
}

/// The tasks of one connection.
#[derive(Clone)]
struct ConnectionTasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl<F> Executor<F> for ConnectionTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.tracker
            .spawn(self.end.clone().run_until_cancelled_owned(future));
    }
}

/// A socket that refuses an option still works: small requests are slower, a frozen machine is
/// noticed later.
fn set_options(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(KEEPALIVE_PROBES);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
}

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Most bytes of one read, and so the largest piece that is passed on: large enough for replies of
/// 50 MiB to take few reads, and small compared to what else a conversation costs. A head must fit
/// as well.
pub(super) const READ_BUFFER: usize = 32 << 10;

/// A stream may be silent for hours, so the kernel must ask whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_notices_a_dead_peer_and_does_not_wait_for_more() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let dialer = Dialer::new(TaskTracker::new(), None, Duration::from_secs(2));
        let tcp = dialer
            .connect(listener.local_addr().expect("its address"))
            .await
            .expect("a connection");
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEPALIVE);
        assert!(tcp.nodelay().expect("an option"));
    }
}
