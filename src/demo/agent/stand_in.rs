//! The stand-in as a server: its ports, and the functions available within the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cascade::Store;
use super::rpc::{self, Port, Server};
use super::{AgentError, AgentOptions, Log, OfferedStreams, Outcome, hold};
use crate::demo::pki::Identity;
use crate::demo::server::{Tasks, serve};

/// A stand-in language server whose RPC ports are open. Dropping it changes nothing: the shutdown
/// token ends it.
pub struct StandIn {
    /// The RPC port with TLS: HTTP/2 (gRPC, Connect) and HTTP/1.1 (Connect). Its certificate is for
    /// `localhost`.
    pub https: u16,
    /// The RPC port without TLS: HTTP/1.1 (Connect), and the demo's own `/demo/log`, `/demo/streams`,
    /// `/demo/cut`.
    pub http: u16,
    root_pem: String,
    server: Arc<Server>,
    tasks: Tasks,
}

/// Opens an HTTPS and an HTTP port on loopback and serves the language server's RPC on them, in
/// tasks of `tracker`, until `shutdown`. Of `options` only `csrf_token` and `offered_streams` matter; there
/// are no conversations before [`StandIn::converse`].
///
/// # Errors
/// When a port cannot be opened or a certificate cannot be made.
pub async fn start(
    options: &AgentOptions,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<StandIn, AgentError> {
    let tasks = Tasks {
        tracker: tracker.clone(),
        shutdown: shutdown.clone(),
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (https, http) = (TcpListener::bind(any).await?, TcpListener::bind(any).await?);
    let ports = (https.local_addr()?.port(), http.local_addr()?.port());
    let identity = Identity::issue(&["localhost".to_owned()], &["h2", "http/1.1"])?;
    let server = Arc::new(Server::new(
        Arc::new(Store::default()),
        options,
        tasks.clone(),
    ));
    for (listener, tls, port) in [
        (https, Some(identity.config), Port::Https),
        (http, None, Port::Http),
    ] {
        let server = Arc::clone(&server);
        serve(
            listener,
            tls,
            move |request| rpc::answer(Arc::clone(&server), port, request),
            &tasks,
        );
    }
    Ok(StandIn {
        https: ports.0,
        http: ports.1,
        root_pem: identity.root_pem,
        server,
        tasks,
    })
}

impl StandIn {
    /// The root certificate behind the HTTPS port. The real one ships with the application.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Runs conversations as [`super::converse`] does; they can be followed on the ports while they
    /// go on and afterwards.
    ///
    /// # Errors
    /// When the bundle or the host is unusable. What goes wrong on the way is part of the
    /// [`Outcome`].
    pub async fn converse(&self, options: AgentOptions) -> Result<Outcome, AgentError> {
        hold(
            options,
            Arc::clone(&self.server.store),
            &self.tasks.tracker,
            &self.tasks.shutdown,
        )
        .await
    }

    /// What happened so far: the answer of `GET /demo/log`.
    #[must_use]
    pub fn log(&self) -> Log {
        self.server.store.log()
    }

    /// Switches streams on and off: `POST /demo/streams`. Open streams of a kind that is off end at
    /// once.
    pub fn set_offered_streams(&self, offered_streams: OfferedStreams) {
        self.server.set_offered_streams(offered_streams);
    }

    /// Breaks all open streams in the middle of a frame: `POST /demo/cut`.
    pub fn cut(&self) {
        self.server.cut();
    }

    #[cfg(test)]
    pub(super) fn server(&self) -> &Server {
        &self.server
    }
}
