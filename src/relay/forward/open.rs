//! Opens HTTP with a provider for one agent connection, and has it observed.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::passed::Passed;
use super::protocol::{self, Protocol, ProviderHttp};
use super::sender::Provider;
use super::side::{ProviderStream, SharedSide, Side};
use super::tasks::{Spawner, Tasks};
use crate::observe::{Alpn, Changes, Connection, Observer, OpenObserver};

/// Opens connections to providers.
#[derive(Clone)]
pub(in crate::relay) struct Opener {
    observers: Arc<dyn OpenObserver>,
    pub(super) parts: Spawner,
    opened: mpsc::UnboundedSender<OpenedProvider>,
}

/// What an [`Opener`] gives to the agent connection that it opens for.
pub(in crate::relay) struct Parts {
    pub(super) running: Tasks,
    pub(super) opened: mpsc::UnboundedReceiver<OpenedProvider>,
}

/// A connection to a provider over which HTTP can be spoken.
pub(super) struct OpenedProvider {
    pub(super) http: ProviderHttp,
    pub(super) side: SharedSide,
    pub(super) passed: Arc<Passed>,
    pub(super) observer: Box<dyn Observer>,
}

impl Opener {
    /// For one agent connection.
    pub(in crate::relay) fn new(observers: Arc<dyn OpenObserver>) -> (Self, Parts) {
        let (running, parts) = Tasks::new();
        let (sender, opened) = mpsc::unbounded_channel();
        let opener = Self {
            observers,
            parts,
            opened: sender,
        };
        (opener, Parts { running, opened })
    }

    /// Begins HTTP over a stream to a verified provider. `connection` is what is known of it.
    ///
    /// # Errors
    /// The stream's.
    pub(in crate::relay) async fn open(
        &self,
        side: Box<dyn Side>,
        connection: Connection,
    ) -> hyper::Result<Arc<Provider>> {
        let protocol = Protocol::of(connection.alpn);
        let (side, passed) = (SharedSide::new(side), Arc::<Passed>::default());
        let stream = ProviderStream::new(side.clone(), Arc::clone(&passed));
        let (sender, http) = protocol::with_provider(protocol, stream, self.parts.clone()).await?;
        let (host, changes) = (connection.host.clone(), Changes::default());
        let observer = self.observers.open(Connection {
            changes: Some(changes.clone()),
            ..connection
        });
        // Fails only when the agent's connection has ended.
        let _ = self.opened.send(OpenedProvider {
            http,
            side,
            passed,
            observer,
        });
        Ok(Arc::new(Provider::new(host, sender, changes)))
    }
}

impl Protocol {
    /// Without a word in the handshake, it is HTTP/1.
    pub(in crate::relay) fn of(alpn: Alpn) -> Self {
        match alpn {
            Alpn::H2 => Self::Http2,
            Alpn::Http1 | Alpn::Unknown => Self::Http1,
        }
    }
}
