//! The accept loop of a listener: bounded connections, an orderly end.
//!
//! `axum::serve` has no limit on the time a request head takes and parks for ever on a fatal accept
//! error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Web;
use super::connection::Connection;
use super::limiter::Slot;
use super::listener::{Listener, Stream};
use super::peer::Peer;
use crate::record::{Fact, Sink as _};

impl Web {
    /// Serves a listener until `shutdown`. Connections run in `tracker` and end within two seconds
    /// of it; all listeners share their slots.
    pub async fn serve(
        self: Arc<Self>,
        listener: impl Into<Listener>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) {
        let listener = listener.into();
        let connection = Connection {
            router: self.router(listener.port(), shutdown.clone()),
            web: Arc::clone(&self),
            tracker: tracker.clone(),
            shutdown: shutdown.clone(),
        };
        let mut failing = false;
        loop {
            let next = self.next_connection(&listener);
            // Cancelled at shutdown only: a connection that was just accepted is closed with the
            // listener.
            let Some(accepted) = shutdown.run_until_cancelled(next).await else {
                return;
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    failing = false;
                    let connection = connection.clone();
                    tracker.spawn(async move {
                        connection.serve(stream, peer).await;
                        drop(slot);
                    });
                    // In a flood, a new connection gets to run before others can evict it.
                    yield_now().await;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept requests for metrics; trying again until it works");
                    }
                    failing = true;
                    self.metrics.receive(&Fact::AcceptFailed);
                    let _ = shutdown.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    /// A connection with its slot: one is accepted before a slot is free, to know that a peer
    /// waits.
    async fn next_connection(&self, listener: &Listener) -> io::Result<(Stream, Arc<Peer>, Slot)> {
        let (stream, origin) = listener.accept().await?;
        let peer = Peer::new(origin);
        let slot = self.connections.enter(&peer).await;
        peer.arrived();
        Ok((stream, peer, slot))
    }
}

/// Whether only the accepted connection failed, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// The pause after an accept error: long enough not to spin while file descriptors are short, short
/// enough for the next scrape.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
