//! The listener's loop: bounded connections, limits in time on both directions, an orderly end.
//!
//! `axum::serve` has no limit on the time a request head takes and parks for ever on a fatal accept error.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::{Config, Web};
use crate::record::{Fact, Sink as _};

impl Web {
    /// Serves the listener until `shutdown`. Connections run in `tracker` and end within two seconds of it.
    ///
    /// # Errors
    /// [`io::Error`] when the listener has no local address.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let router = self.router(listener.local_addr()?.port(), shutdown.clone());
        let slots = Arc::new(Semaphore::new(self.config.max_connections));
        let mut failing = false;
        loop {
            let next = next_connection(&listener, &slots);
            // Cancelled at shutdown only: a connection that was just accepted is closed with the listener.
            let Some(accepted) = shutdown.run_until_cancelled(next).await else { return Ok(()) };
            match accepted {
                Ok((stream, slot)) => {
                    failing = false;
                    let connection = connection(stream, router.clone(), self.config.clone(), shutdown.clone());
                    tracker.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept requests for metrics; trying again until it works");
                    }
                    failing = true;
                    self.metrics.take(&Fact::AcceptFailed);
                    let _ = shutdown.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }
}

async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

/// The peer's connection broke before it was accepted; the listener is well.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection(stream: TcpStream, router: Router, config: Config, shutdown: CancellationToken) {
    let io = TokioIo::new(Gate::new(stream, config.stall_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = match shutdown.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a request for metrics or usage was cut off");
    }
}

/// How long an answer that is under way at shutdown may take to leave.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// Long enough not to spin while file descriptors are short, short enough for the next scrape.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// A request head is a line and a few headers; hyper answers more with 431.
const MAX_HEAD: usize = 16 * 1024;
