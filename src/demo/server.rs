//! The accept loop of every demo socket: HTTP/1.1 and HTTP/2, with or without TLS.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where the tasks of a server live and what ends them.
#[derive(Clone)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl Tasks {
    /// Runs `future` until it ends or the shutdown drops it.
    pub(super) fn spawn<F>(&self, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let shutdown = self.shutdown.clone();
        self.tracker
            .spawn(async move { shutdown.run_until_cancelled(future).await.is_some() });
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

/// Serves every connection of `listener` with `answer` until the shutdown.
pub(super) fn serve<H, F, B>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    answer: H,
    tasks: &Tasks,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            // Out of descriptors: the next attempt would fail as fast, so it waits for connections
            // to close.
            let Ok((tcp, _peer)) = listener.accept().await else {
                sleep(ACCEPT_BACKOFF).await;
                continue;
            };
            connections.spawn(connection(
                tcp,
                acceptor.clone(),
                answer.clone(),
                connections.clone(),
            ));
        }
    });
}

async fn connection<H, F, B>(tcp: TcpStream, acceptor: Option<TlsAcceptor>, answer: H, tasks: Tasks)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Without it small SSE events wait for the peer's delayed ACK. A socket that refuses the option
    // still serves.
    let _ = tcp.set_nodelay(true);
    match acceptor {
        None => http(tcp, answer, tasks, true).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
                http(stream, answer, tasks, false).await;
            }
        }
    }
}

async fn http<S, H, F, B>(stream: S, answer: H, tasks: Tasks, plain: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(move |request| {
        let reply = answer(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut builder = auto::Builder::new(tasks);
    if plain {
        // Without TLS nothing could have agreed on HTTP/2.
        builder = builder.http1_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    // A client that leaves in the middle is part of the demo; what it cost is booked by the body
    // that was dropped.
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// Loopback clients shake hands within milliseconds; a stuck one must not keep its task.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Also ends a keep-alive connection that stays idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two failed accepts.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
