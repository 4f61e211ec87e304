//! The traffic side, put together in one place: listeners, the gate that admits their connections,
//! and the relay that carries them.
//!
//! The program, the tests and the benchmarks serve traffic through [`Traffic`]. What differs between
//! them is given to it: who knows where a redirected connection was going, who looks at the
//! plaintext, and where facts are stated.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::budget::Budgets;
use crate::capture::listener::{self, Accept, Doors, Slots};
use crate::capture::{Door, Gate, Lingering, LoopGuard, OriginalDst, Owners, Peers};
use crate::observe::OpenObserver;
use crate::record::Record;
use crate::relay::{self, BodyMemory, Rejections, Relay, Shutdown};
use crate::rules::Rules;
use crate::tls::leaf::Leaves;
use crate::tls::upstream::Upstream;
use crate::web::{Listener, SocketFile};

/// What the traffic side is made of.
pub struct Traffic {
    /// What is intercepted, where it goes, and the time limit of each step.
    pub relay: relay::Config,
    /// The time limit of a CONNECT request.
    pub connect_request: Duration,
    /// Whether the CONNECT proxy may lead into private networks.
    pub allow_private_networks: bool,
    /// Limits how many connections may be open at once.
    pub slots: Arc<Slots>,
    /// Our own addresses, to which no connection may lead.
    pub own: Vec<SocketAddr>,
    /// The users whom the CONNECT proxy serves.
    pub owners: Owners,
    /// Finds the programs that open connections.
    pub peers: Arc<Peers>,
    /// Verified sessions with providers.
    pub upstream: Arc<Upstream>,
    /// Certificates for the agent.
    pub leaves: Arc<Leaves>,
    /// Knows where a redirected connection was going.
    pub original_dst: Arc<dyn OriginalDst>,
    /// Stop calls when they are used up; `None` where there are none.
    pub budgets: Option<Arc<Budgets>>,
    /// Looks at the plaintext.
    pub observers: Arc<dyn OpenObserver>,
    /// The rules by which requests are changed.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// The memory for bodies that are read for rules and budgets.
    pub bodies: BodyMemory,
    /// Where everything that happens is stated.
    pub record: Arc<dyn Record>,
}

impl Traffic {
    /// Serves the connections of all listeners, by tasks of `tasks`, until `shutdown`.
    pub fn serve(
        self,
        listeners: impl IntoIterator<Item = (Door, impl Into<Listener>)>,
        tasks: &TaskTracker,
        shutdown: &Shutdown,
    ) {
        let guard = Arc::new(LoopGuard::new(self.own, self.allow_private_networks));
        let relay = Arc::new(Relay {
            config: self.relay,
            guard: Arc::clone(&guard),
            upstream: self.upstream,
            leaves: self.leaves,
            rejections: Rejections::default(),
            budgets: self.budgets,
            rules: self.rules,
            bodies: self.bodies,
            observers: self.observers,
            record: Arc::clone(&self.record),
        });
        let gate = Gate {
            guard,
            owners: self.owners,
            original_dst: self.original_dst,
            peers: self.peers,
            connect_request: self.connect_request,
            lingering: Lingering::default(),
            record: self.record,
        };
        let doors = Arc::new(Doors {
            gate,
            slots: self.slots,
            tasks: tasks.clone(),
        });
        let served = Served {
            relay,
            doors,
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        for (door, listener) in listeners {
            match (door, listener.into()) {
                (Door::BaseUrl, Listener::Tcp(listener)) => served.run(listener, door, requests),
                (Door::Connect, Listener::Tcp(listener)) => served.run(listener, door, connect),
                (Door::Redirect, Listener::Tcp(listener)) => served.run(listener, door, redirect),
                // No other door has one.
                (_, Listener::Unix(listener, file)) => {
                    let listener = SocketListener(listener, file);
                    served.run(listener, Door::BaseUrl, socket_requests);
                }
            }
        }
    }
}

/// What the listeners have in common while they are served.
struct Served {
    relay: Arc<Relay>,
    doors: Arc<Doors>,
    tasks: TaskTracker,
    shutdown: Shutdown,
}

impl Served {
    fn run<L, S, F>(&self, listener: L, door: Door, serve: S)
    where
        L: Accept,
        S: Fn(Arc<Relay>, Arc<Doors>, L::Stream, Shutdown) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (relay, shutdown) = (Arc::clone(&self.relay), self.shutdown.clone());
        let serve = move |doors, stream| serve(Arc::clone(&relay), doors, stream, shutdown.clone());
        let (doors, drain) = (Arc::clone(&self.doors), self.shutdown.drain.clone());
        self.tasks
            .spawn(listener::run(listener, door, doors, drain, serve));
    }
}

async fn connect(relay: Arc<Relay>, doors: Arc<Doors>, tcp: TcpStream, shutdown: Shutdown) {
    if let Some(accepted) = doors.gate.admit_connect(tcp, &doors.tasks).await {
        relay.serve(accepted, &shutdown).await;
    }
}

async fn redirect(relay: Arc<Relay>, doors: Arc<Doors>, tcp: TcpStream, shutdown: Shutdown) {
    if let Some(accepted) = doors.gate.admit_redirected(tcp, &doors.tasks) {
        relay.serve(accepted, &shutdown).await;
    }
}

async fn requests(relay: Arc<Relay>, doors: Arc<Doors>, tcp: TcpStream, shutdown: Shutdown) {
    if let Some((tcp, peer)) = doors.gate.admit_requests(tcp, &doors.tasks).await {
        let caller = peer.caller().clone();
        relay.serve_requests(Box::new(tcp), caller, &shutdown).await;
    }
}

async fn socket_requests(
    relay: Arc<Relay>,
    doors: Arc<Doors>,
    unix: UnixStream,
    shutdown: Shutdown,
) {
    if let Some(peer) = doors.gate.admit_socket(&unix, &doors.tasks) {
        let caller = peer.caller().clone();
        relay
            .serve_requests(Box::new(unix), caller, &shutdown)
            .await;
    }
}

/// A Unix socket whose file goes when nothing listens there any more.
struct SocketListener(
    UnixListener,
    #[expect(dead_code, reason = "removed when dropped")] Option<SocketFile>,
);

impl Accept for SocketListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        let (unix, _) = self.0.accept().await?;
        Ok(unix)
    }
}
