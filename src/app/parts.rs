//! What the traffic side is made of, for the program's own listeners and for those of each session
//! that is handed over.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::sinks::Sinks;
use super::trust::Trust;
use super::views::Views;
use super::{Traffic, process};
use crate::budget::{BudgetStatus, Budgets};
use crate::capture::listener::Slots;
use crate::capture::peer::ProgramPattern;
use crate::capture::{OriginalDst, Owners, Peers};
use crate::cascade;
use crate::config::Config;
use crate::dialect::Observers;
use crate::launch::find::CaFolders;
use crate::ledger::Ledger;
use crate::observe::memory::Memory;
use crate::record::Record;
use crate::relay::{self, BodyMemory, Untrusting};
use crate::rules::Rules;
use crate::summary::Recorded;
use crate::tls::leaf::Leaves;
use crate::tls::upstream::Upstream;

/// Everything that the traffic of all listeners shares.
pub(super) struct TrafficParts {
    pub(super) relay: relay::Config,
    pub(super) connect_request: Duration,
    pub(super) allow_private_networks: bool,
    pub(super) slots: Arc<Slots>,
    pub(super) own: Vec<SocketAddr>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) leaves: Arc<Leaves>,
    /// The certificate of the CA, as PEM.
    pub(super) ca: String,
    pub(super) original_dst: Arc<dyn OriginalDst>,
    pub(super) memory: Memory,
    /// The rules that hold now.
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    /// For the bodies that are read for rules and budgets.
    pub(super) bodies: BodyMemory,
    pub(super) record: Arc<dyn Record>,
    pub(super) budgets: Option<Arc<Budgets>>,
    pub(super) sinks: Arc<Sinks>,
    /// How the language server that a session starts is followed.
    pub(super) cascade: cascade::Config,
    /// Where language servers leave their discovery files.
    pub(super) discovery_folders: Vec<PathBuf>,
    /// Of the sessions that are observed, whose language servers are nobody else's to follow.
    pub(super) ca_folders: CaFolders,
    pub(super) ledger: Arc<Ledger>,
    /// The ledger's file, where there shall be one.
    pub(super) ledger_path: Option<PathBuf>,
}

/// In what the traffic of a session differs.
pub(super) struct SessionTraffic {
    pub(super) peers: Arc<Peers>,
    /// The user whose connections its CONNECT proxy serves.
    pub(super) owner: u32,
    pub(super) programs: Vec<ProgramPattern>,
    pub(super) untrusting: Untrusting,
    /// Where its facts are stated.
    pub(super) record: Arc<dyn Record>,
}

impl TrafficParts {
    /// What the configuration wants. Connections arrive at so many kinds of `doors`; `own` are our own
    /// addresses.
    pub(super) fn new(
        config: &Config,
        own: Vec<SocketAddr>,
        doors: usize,
        trust: &Trust,
        original_dst: Arc<dyn OriginalDst>,
        views: &Views,
    ) -> Self {
        let each = process::room_for(config.capture.max_connections, doors);
        Self {
            relay: config.relay.clone(),
            connect_request: config.capture.connect_request,
            allow_private_networks: config.capture.allow_private_networks,
            slots: Arc::new(Slots::new(each)),
            own,
            upstream: Arc::clone(&trust.upstream),
            leaves: Arc::clone(&trust.leaves),
            ca: trust.ca.clone(),
            original_dst,
            memory: Memory::new(config.observe.max_memory),
            rules: views.rules.subscribe(),
            bodies: BodyMemory::new(config.relay.max_body_memory),
            record: Arc::clone(&views.record),
            budgets: views.budgets.clone(),
            sinks: Arc::clone(&views.sinks),
            cascade: cascade::Config {
                // Both are of the service's own agent.
                endpoint: None,
                token: None,
                ..config.cascade.clone()
            },
            discovery_folders: config.discovery_folders.clone(),
            ca_folders: CaFolders::default(),
            ledger: Arc::clone(&views.ledger),
            ledger_path: config.ledger.enabled.then(|| config.ledger_path()),
        }
    }

    pub(super) fn ca(&self) -> &str {
        &self.ca
    }

    pub(super) fn record(&self) -> &dyn Record {
        &*self.record
    }

    /// How the budgets stand; none where there are none.
    pub(super) fn budget_statuses(&self) -> Vec<BudgetStatus> {
        let budgets = self.budgets.as_ref();
        budgets.map_or_else(Vec::new, |budgets| budgets.statuses(Timestamp::now()))
    }

    /// The traffic of the program's own listeners.
    pub(super) fn traffic(&self, owners: Owners, peers: Arc<Peers>) -> Traffic {
        self.traffic_with(self.relay.clone(), owners, peers, Arc::clone(&self.record))
    }

    /// The traffic of a session.
    pub(super) fn traffic_of(&self, session: SessionTraffic) -> Traffic {
        let relay = relay::Config {
            programs: session.programs,
            untrusting: session.untrusting,
            ..self.relay.clone()
        };
        let owners = Owners::new([session.owner]);
        self.traffic_with(relay, owners, session.peers, session.record)
    }

    fn traffic_with(
        &self,
        relay: relay::Config,
        owners: Owners,
        peers: Arc<Peers>,
        record: Arc<dyn Record>,
    ) -> Traffic {
        let observers = Observers {
            record: Arc::clone(&record),
            memory: self.memory.clone(),
        };
        Traffic {
            relay,
            connect_request: self.connect_request,
            allow_private_networks: self.allow_private_networks,
            slots: Arc::clone(&self.slots),
            own: self.own.clone(),
            owners,
            peers,
            upstream: Arc::clone(&self.upstream),
            leaves: Arc::clone(&self.leaves),
            original_dst: Arc::clone(&self.original_dst),
            budgets: self.budgets.clone(),
            observers: Arc::new(observers),
            rules: self.rules.clone(),
            bodies: self.bodies.clone(),
            record,
        }
    }

    /// Where the calls are kept, once everything that was seen before now is there.
    pub(super) async fn recorded(&self) -> Recorded {
        let ledger = Arc::clone(&self.ledger);
        // It is in the file soon after, in any case.
        let _ = tokio::task::spawn_blocking(move || ledger.settle(SETTLE_LIMIT)).await;
        recorded(&self.ledger, self.ledger_path.clone())
    }
}

/// Where a ledger keeps its calls; `path` is its file, where it shall have one.
pub(super) fn recorded(ledger: &Ledger, path: Option<PathBuf>) -> Recorded {
    match (ledger.unavailable(), path) {
        (Some(file), Some(path)) if file.is_awaited => Recorded::Later(path),
        (Some(file), _) => Recorded::Nowhere(file.why),
        (None, None) => Recorded::Nowhere("ledger.enabled is false".to_owned()),
        (None, Some(path)) => Recorded::File(path),
    }
}

/// A summary is asked for by somebody who waits: it should be true that the calls are kept, but a
/// full disk keeps nobody waiting.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
