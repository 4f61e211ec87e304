//! The traffic side, put together in one place: listeners, the gate that admits their connections,
//! and the relay that carries them.
//!
//! The program, the tests and the benchmarks serve traffic through [`Traffic`]. What differs between
//! them is given to it: who knows where a redirected connection was going, who looks at the
//! plaintext, and where facts are stated.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::budget::Budgets;
use crate::capture::listener::{self, Doors, Slots};
use crate::capture::{Door, Gate, LoopGuard, OriginalDst, Owners, Peers};
use crate::observe::OpenObserver;
use crate::record::Record;
use crate::relay::{self, Rejections, Relay, Shutdown};
use crate::tls::leaf::Leaves;
use crate::tls::upstream::Upstream;

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
    /// Where everything that happens is stated.
    pub record: Arc<dyn Record>,
}

impl Traffic {
    /// Serves the connections of all listeners, by tasks of `tasks`, until `shutdown`.
    pub fn serve(
        self,
        listeners: impl IntoIterator<Item = (Door, TcpListener)>,
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
            observers: self.observers,
            record: Arc::clone(&self.record),
        });
        let gate = Gate {
            guard,
            owners: self.owners,
            original_dst: self.original_dst,
            peers: self.peers,
            connect_request: self.connect_request,
            record: self.record,
        };
        let doors = Arc::new(Doors {
            gate,
            slots: self.slots,
            tasks: tasks.clone(),
        });
        for (door, listener) in listeners {
            let (relay, served) = (Arc::clone(&relay), shutdown.clone());
            let serve = move |accepted| {
                let (relay, shutdown) = (Arc::clone(&relay), served.clone());
                async move { relay.serve(accepted, &shutdown).await }
            };
            tasks.spawn(listener::run(
                listener,
                door,
                Arc::clone(&doors),
                shutdown.drain.clone(),
                serve,
            ));
        }
    }
}
