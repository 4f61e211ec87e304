//! Accepts connections, redirected by the kernel or through the CONNECT proxy. Knows nothing of TLS
//! and nothing of the HTTP inside.
//!
//! Input: accepted TCP connections; output: [`Accepted`], a connection with its destination,
//! checked by the [`LoopGuard`]. Others are refused here and recorded as a fact. Nothing is
//! dialled here but the probe that shows that redirect rules work.

pub mod cgroup;
mod connect_proxy;
mod descriptors;
pub mod listener;
mod loop_guard;
pub mod namespace;
mod obstacle;
mod original_dst;
mod owner;
pub mod peer;
pub(crate) mod probe;
mod reach;
pub mod redirect;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, debug, info_span, warn};

use crate::record::{Fact, Host, Record, RefuseReason, TimeoutStep, diagnostics, label};

pub(crate) use descriptors::{receive_descriptors, send_descriptors};
pub use loop_guard::LoopGuard;
pub use obstacle::Obstacle;
pub use original_dst::{KernelOriginalDst, OriginalDst};
pub use owner::Owners;
pub use peer::{PeerSearch, Peers};

pub(crate) use connect_proxy::Lingering;

use connect_proxy::{ConnectError, Requested};
use peer::Ends;

/// Where the CONNECT proxy listens unless another address is asked for.
pub const CONNECT_PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8743);

/// Where connections arrive, and which are admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where redirected connections arrive.
    pub redirect_listen: Vec<SocketAddr>,
    /// Where the CONNECT proxy listens, if it is enabled.
    pub connect_listen: Option<SocketAddr>,
    /// Where the base-URL door listens, if it is enabled.
    pub base_url_listen: Option<SocketAddr>,
    /// The Unix socket where it listens as well.
    pub base_url_socket: Option<PathBuf>,
    /// Users whom the CONNECT proxy and the base-URL door serve, by name or uid, beside the one that
    /// runs it and the agent's.
    pub connect_users: Vec<String>,
    /// How many connections may be open at once at each of the doors; one more is refused.
    pub max_connections: usize,
    /// Whether the CONNECT proxy may lead into private networks (RFC 1918, RFC 4193, RFC 6598).
    pub allow_private_networks: bool,
    /// How long an agent may take for its CONNECT request, answer included.
    pub connect_request: Duration,
}

impl Default for Config {
    fn default() -> Self {
        const REDIRECT_PORT: u16 = 8742;
        Self {
            redirect_listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), REDIRECT_PORT),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), REDIRECT_PORT),
            ],
            connect_listen: None,
            base_url_listen: None,
            base_url_socket: None,
            connect_users: Vec::new(),
            max_connections: 4096,
            allow_private_networks: false,
            connect_request: Duration::from_secs(10),
        }
    }
}

/// Where the agent wanted to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The address that the agent dialled (redirect), or asked for by number (CONNECT). The loop
    /// guard has let it pass.
    Address(SocketAddr),
    /// A name that the agent asked for (CONNECT). Its resolver must ask [`LoopGuard::requested`]
    /// about every address.
    Name {
        /// The name.
        host: Host,
        /// The port.
        port: u16,
    },
}

impl Destination {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A connection of the agent, ready for the relay.
#[derive(Debug)]
pub struct Accepted {
    /// The agent's side.
    pub tcp: TcpStream,
    /// Bytes that were read together with the CONNECT request and belong to the connection.
    pub prefix: Bytes,
    /// Where it wants to go.
    pub destination: Destination,
    /// Who has opened it, which may still be searched for.
    pub peer: PeerSearch,
}

label! {
    /// The ways by which a connection arrives.
    pub enum Door {
        /// In the clear, with requests whose paths name their provider.
        BaseUrl => "base_url",
        /// Through the CONNECT proxy, by name or address.
        Connect => "connect",
        /// Redirected by the kernel.
        Redirect => "redirect",
    }
}

/// What all listeners share to admit a connection.
pub(crate) struct Gate {
    /// Addresses that must never be dialled.
    pub(crate) guard: Arc<LoopGuard>,
    /// Whom the CONNECT proxy serves.
    pub(crate) owners: Owners,
    /// Looks up the original destination of a redirected connection.
    pub(crate) original_dst: Arc<dyn OriginalDst>,
    /// Limit of [`TimeoutStep::ConnectRequest`].
    pub(crate) connect_request: Duration,
    /// Finds the programs that open connections.
    pub(crate) peers: Arc<Peers>,
    /// Refused connections at the CONNECT proxy that are not closed yet.
    pub(crate) lingering: Lingering,
    /// Where refusals are recorded.
    pub(crate) record: Arc<dyn Record>,
}

impl Gate {
    /// Finds out the destination of a connection through the CONNECT proxy. `None` when it was
    /// refused: that is then recorded and the connection closed. Notes the outcome on the current
    /// span. Who has opened it is searched for by tasks of `tasks`.
    pub(crate) async fn admit_connect(
        &self,
        tcp: TcpStream,
        tasks: &TaskTracker,
    ) -> Option<Accepted> {
        self.admitted(self.connected(tcp, tasks).await)
    }

    /// The same for a connection that the kernel has redirected.
    pub(crate) fn admit_redirected(&self, tcp: TcpStream, tasks: &TaskTracker) -> Option<Accepted> {
        self.admitted(self.redirected(tcp, tasks))
    }

    /// Admits a connection to the base-URL door if it belongs to a user who is served, and returns
    /// who has opened it.
    pub(crate) async fn admit_requests(
        &self,
        tcp: TcpStream,
        tasks: &TaskTracker,
    ) -> Option<(TcpStream, PeerSearch)> {
        match self.owners.check(&tcp).await {
            Ok(()) => {
                let peer = self.peers.search(ends_of(&tcp).ok(), tasks);
                Some((tcp, peer))
            }
            Err(reason) => {
                let refusal = ConnectError::NotServed(reason);
                connect_proxy::turn_away(tcp, &refusal, &self.lingering, tasks).await;
                self.admitted(Err(reason))
            }
        }
    }

    /// The same for a connection to its Unix socket, whose program is not searched for.
    pub(crate) fn admit_socket(
        &self,
        unix: &UnixStream,
        tasks: &TaskTracker,
    ) -> Option<PeerSearch> {
        let peer = unix.peer_cred().map_err(|_| RefuseReason::UnknownUser);
        self.admitted(peer.and_then(|peer| self.owners.serves(peer.uid())))?;
        Some(self.peers.search(None, tasks))
    }

    fn admitted<T>(&self, admitted: Result<T, RefuseReason>) -> Option<T> {
        let refused = |reason: &RefuseReason| {
            diagnostics::refused(&Span::current(), *reason);
            self.record.record(Fact::ConnectionRefused(*reason));
        };
        admitted.inspect_err(refused).ok()
    }

    fn redirected(&self, tcp: TcpStream, tasks: &TaskTracker) -> Result<Accepted, RefuseReason> {
        let local = tcp.local_addr().map_err(|_| RefuseReason::AgentGone)?;
        let original = self.original_dst.original_dst(&tcp);
        let address = self.guard.redirected(original, local).inspect_err(|reason| {
            warn!(%reason, %local, "refused a connection to the redirect door: only the redirect rules may lead here");
        })?;
        // The program's own socket knows nothing of the redirect.
        let ends = tcp.peer_addr().map(|from| Ends::new(from, address));
        Ok(Accepted {
            tcp,
            prefix: Bytes::new(),
            destination: Destination::Address(address),
            peer: self.peers.search(ends.ok(), tasks),
        })
    }

    async fn connected(
        &self,
        tcp: TcpStream,
        tasks: &TaskTracker,
    ) -> Result<Accepted, RefuseReason> {
        let peer = self.peers.search(ends_of(&tcp).ok(), tasks);
        let asked = connect_proxy::accept(tcp, &self.owners, &self.guard, &self.lingering, tasks);
        let asked = asked.instrument(info_span!(target: diagnostics::TARGET, "connect request"));
        match timeout(self.connect_request, asked).await {
            Ok(Ok(Requested {
                tcp,
                prefix,
                destination,
            })) => Ok(Accepted {
                tcp,
                prefix,
                destination,
                peer,
            }),
            Ok(Err(refusal)) => {
                let reason = refusal.reason();
                debug!(%reason, error = %refusal, "refused a connection to the CONNECT door");
                Err(reason)
            }
            Err(_) => {
                debug!("a CONNECT request took too long");
                self.record
                    .record(Fact::TimedOut(TimeoutStep::ConnectRequest));
                Err(RefuseReason::Timeout)
            }
        }
    }
}

/// Both ends of an accepted connection.
fn ends_of(tcp: &TcpStream) -> io::Result<Ends> {
    Ok(Ends::new(tcp.peer_addr()?, tcp.local_addr()?))
}
