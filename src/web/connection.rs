//! Serves one connection from its first byte to its end: TLS where configured, HTTP/1 or HTTP/2,
//! with timeouts on everything that the other side can prolong.

use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Web;
use super::listener::Stream;
use super::peer::{Overdue, Peer};
use super::stall_guard::StallGuard;
use crate::export::WebRefusal;
use crate::tls::handshake;

/// What every connection of one listener needs.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) web: Arc<Web>,
    pub(super) router: Router,
    pub(super) tracker: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl Connection {
    /// Serves the peer until one of the two sides ends it.
    pub(super) async fn serve(self, stream: Stream, peer: Arc<Peer>) {
        let stream = StallGuard::new(stream, self.web.config.stall_timeout);
        let Some(access) = self.web.access.as_ref().filter(|_| !peer.is_local()) else {
            return self.http1(stream, peer).await;
        };
        let Some(policy) = access.policy().await else {
            return self.web.metrics.web_refused(WebRefusal::Config);
        };
        let _ = peer.policy.set(policy.number());
        let Some(tls) = policy.tls().map(Arc::clone) else {
            return self.http1(stream, peer).await;
        };
        drop(policy);
        match self.handshake(stream, tls, &peer).await {
            Some(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(stream, peer).await
            }
            Some(stream) => self.http1(stream, peer).await,
            None => {}
        }
    }

    async fn handshake<S>(
        &self,
        stream: S,
        tls: Arc<ServerConfig>,
        peer: &Peer,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.web.config.header_read_timeout;
        let done = tokio::select! {
            done = timeout(limit, handshake::accept(stream, tls)) => done,
            // Counted where the slot was taken back.
            () = peer.is_cut() => return None,
            () = self.shutdown.cancelled() => return None,
        };
        match done {
            Ok(Ok((stream, _))) => return Some(stream),
            Ok(Err(reason)) => tracing::debug!(%reason, "a TLS handshake with a scraper failed"),
            Err(_) => tracing::debug!("a TLS handshake with a scraper took too long"),
        }
        self.web.metrics.web_refused(WebRefusal::Handshake);
        None
    }

    async fn http1<S>(self, stream: S, peer: Arc<Peer>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, of) = (self.router.clone(), Arc::clone(&peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.web.config.header_read_timeout)
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(router.clone(), Arc::clone(&of), request)),
            );
        self.drive(connection, &peer).await;
    }

    async fn http2<S>(self, stream: S, peer: Arc<Peer>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, of) = (self.router.clone(), Arc::clone(&peer));
        let connection = http2::Builder::new(Tracked(self.tracker.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(router.clone(), Arc::clone(&of), request)),
            );
        self.drive(connection, &peer).await;
    }

    async fn drive<C: GracefulConnection<Error = hyper::Error>>(self, connection: C, peer: &Peer) {
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            // Counted where the slot was taken back.
            () = peer.is_cut() => return,
            overdue = peer.overdue(&self.web.config) => match overdue {
                Overdue::Answer => return self.web.metrics.web_refused(WebRefusal::Slow),
                Overdue::Pause => drain(connection).await,
            },
            () = self.shutdown.cancelled() => drain(connection).await,
        };
        if let Err(error) = ended {
            if is_stall(&error) {
                self.web.metrics.web_refused(WebRefusal::Slow);
            }
            tracing::debug!(%error, "a request for metrics or usage was cut off");
        }
    }
}

/// Waits for the answers in progress, for a limited time.
async fn drain<C: GracefulConnection<Error = hyper::Error>>(
    mut connection: std::pin::Pin<&mut C>,
) -> Result<(), hyper::Error> {
    connection.as_mut().graceful_shutdown();
    timeout(DRAIN, connection).await.unwrap_or(Ok(()))
}

async fn answer(
    router: Router,
    peer: Arc<Peer>,
    mut request: http::Request<Incoming>,
) -> Result<http::Response<Body>, std::convert::Infallible> {
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}

/// Whether a stalled reader was cut off.
fn is_stall(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// Spawns the tasks of HTTP/2 in the exporter's task tracker.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// How long an answer in progress at shutdown may take.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// Most bytes of a request head, a line and a few headers; hyper answers more with 431. It is also
/// the buffer of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// Most concurrent HTTP/2 streams: a scraper uses one, a browser a few.
const MAX_STREAMS: u32 = 8;
