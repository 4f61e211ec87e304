//! One session that a service observes: its connections, its conversations, its figures, and its
//! end.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::conversations::{Conversations, search_of};
use super::message::{Ended, FromRun, FromService, Offer, Summary, receive, send};
use crate::app::activation::listening;
use crate::app::parts::{SessionTraffic, TrafficParts};
use crate::app::tasks::Tasks;
use crate::capture::{Door, Peers};
use crate::record::{Caller, Fact, ProgramName, Session, SessionEnded, SessionId};
use crate::relay::Shutdown;
use crate::summary::{Collector, render};

/// The sockets of a session, with what arrives at each.
pub(super) struct Listeners(Vec<(Door, tokio::net::TcpListener)>);

impl Listeners {
    /// The first are for redirected connections, as many as `redirect` says.
    pub(super) fn of(descriptors: Vec<OwnedFd>, redirect: usize) -> io::Result<Self> {
        let listener = |(place, descriptor)| {
            let listener = listening(TcpListener::from(descriptor))?;
            // What is no TCP socket has no such address.
            listener.local_addr()?;
            let door = if place < redirect {
                Door::Redirect
            } else {
                Door::Connect
            };
            Ok((door, tokio::net::TcpListener::from_std(listener)?))
        };
        let listeners = descriptors.into_iter().enumerate().map(listener);
        listeners.collect::<io::Result<_>>().map(Self)
    }
}

/// What a run offers, by a user who may.
pub(super) struct Admitted {
    pub(super) offer: Offer,
    pub(super) listeners: Listeners,
    /// The program's user and network namespace, where it has its own.
    pub(super) namespaces: Option<[OwnedFd; 2]>,
    /// The user whose session it is.
    pub(super) owner: u32,
}

/// A session whose connections are served.
pub(super) struct Served {
    session: Session,
    /// The user whose session it is.
    owner: u32,
    parts: Arc<TrafficParts>,
    collector: Arc<Collector>,
    peers: Arc<Peers>,
    connections: TaskTracker,
    shutdown: Shutdown,
    conversations: Conversations,
}

impl Served {
    /// Begins to serve the connections of a session. They end with those of `tasks` at the latest.
    ///
    /// # Errors
    /// What is wrong with the offer, for people.
    pub(super) fn begin(
        parts: &Arc<TrafficParts>,
        admitted: Admitted,
        tasks: &Tasks,
    ) -> Result<Self, String> {
        let Admitted {
            offer,
            listeners,
            namespaces,
            owner,
        } = admitted;
        let (Some(session), Some(programs)) = (offer.session(), offer.programs()) else {
            return Err("the session has no name".to_owned());
        };
        let search = search_of(parts, &offer, namespaces, owner)?;
        let collector = Arc::<Collector>::default();
        let peers = Peers::new(Caller::of_session(&session));
        let shutdown = Shutdown {
            drain: tasks.stopping().child_token(),
            force: tasks.forced().child_token(),
        };
        let connections = TaskTracker::new();
        parts
            .record()
            .record(Fact::SessionStarted(Box::new(session.clone())));
        let correlator = parts.sinks.correlator(Some(Arc::clone(&collector) as _));
        let traffic = parts.traffic_of(SessionTraffic {
            peers: Arc::clone(&peers),
            owner,
            programs,
            untrusting: offer.untrusting(),
            record: parts.sinks.record_through(&correlator),
        });
        let conversations = Conversations::follow(parts, search, &correlator);
        traffic.serve(listeners.0, &connections, &shutdown);
        Ok(Self {
            session,
            owner,
            parts: Arc::clone(parts),
            collector,
            peers,
            connections,
            shutdown,
            conversations,
        })
    }

    pub(super) fn id(&self) -> &SessionId {
        &self.session.id
    }

    pub(super) fn program(&self) -> &ProgramName {
        &self.session.program
    }

    /// Serves the session to its end: until the program ends, `run` is gone, or the service ends.
    pub(super) async fn attend(self, stream: UnixStream, ca: &str, tasks: &Tasks) {
        let (said, mut to) = stream.into_split();
        let accepted = FromService::Accepted { ca: ca.to_owned() };
        let is_told = send(&mut to, &accepted).await.is_ok();
        let (mut said, mut line) = (BufReader::new(said), Vec::new());
        let mut ended = None;
        if is_told {
            ended = loop {
                let next = receive(&mut said, &mut line);
                match tasks.stopping().run_until_cancelled(next).await {
                    Some(Some(FromRun::Started { pid })) => self.started(pid),
                    Some(Some(FromRun::Ended(how))) => break Some(how),
                    _ => break None,
                }
            };
        }
        if ended.is_none() && tasks.stopping().is_cancelled() {
            // `run` learns at once that nobody accepts any more; what is open may end in peace.
            drop((said, to));
            self.connections.close();
            self.connections.wait().await;
            self.conversations.end().await;
            self.record_end();
            return;
        }
        self.drain().await;
        self.conversations.end().await;
        self.record_end();
        if let Some(ended) = ended {
            let spent = FromService::Spent(self.summary(ended).await);
            // `run` may be gone.
            let _ = send(&mut to, &spent).await;
        }
    }

    /// The program runs as that process, whose namespace may be another one. Only processes of the
    /// user who says so are looked into.
    fn started(&self, pid: u32) {
        let process = i32::try_from(pid).map(procfs::process::Process::new);
        let uid = process
            .ok()
            .and_then(Result::ok)
            .and_then(|it| it.uid().ok());
        if uid == Some(self.owner) {
            self.peers.look_into_namespace_of(pid);
        }
    }

    /// Ends what is open: the program has ended, and its connections with it.
    async fn drain(&self) {
        self.connections.close();
        self.shutdown.drain.cancel();
        tokio::select! {
            () = self.connections.wait() => {}
            () = sleep(DRAIN) => {}
        }
        self.shutdown.force.cancel();
        self.connections.wait().await;
    }

    fn record_end(&self) {
        self.parts.record().record(Fact::SessionEnded(SessionEnded {
            id: self.session.id.clone(),
            ended_at: SystemTime::now(),
        }));
    }

    async fn summary(&self, ended: Ended) -> Summary {
        let ledger = self.parts.recorded().await;
        let program = self.session.program.to_string();
        let budgets = self.parts.budget_statuses();
        let circumstances = ended.circumstances(program, self.session.started_at, ledger, budgets);
        let report = self.collector.report(circumstances);
        let json = serde_json::to_value(&report).unwrap_or_else(|error| {
            warn!(%error, "the report of a session cannot be written as JSON");
            serde_json::Value::Null
        });
        Summary {
            text: render(&report, SystemTime::now()),
            json,
        }
    }
}

/// What the program's children still have open does not keep its user waiting.
const DRAIN: Duration = Duration::from_secs(1);
