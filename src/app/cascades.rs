//! Who is followed: the agent that is started here, the one that is configured, or one that is
//! found on this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Tasks;
use crate::capture::namespace::LoopbackDialer;
use crate::cascade::client::{Endpoint, RpcError, Token, probe};
use crate::cascade::correlate::Correlator;
use crate::cascade::{Config, Mode, follow};
use crate::launch::find::{CaFolders, Candidate, Search, StartedBy, own_network};
use crate::launch::{AgentState, Announcement};

/// Where the agent that is followed listens, while there is one.
pub(super) type Endpoints = watch::Receiver<Option<Endpoint>>;

/// A language server that Gravimeter did not start: where it is looked for, and how it is reached.
#[derive(Debug, Clone)]
pub struct ServerSearch {
    processes: Search,
    /// Opens connections where its loopback is another network namespace's.
    namespace: Option<LoopbackDialer>,
    /// Between two looks.
    pause: Duration,
}

impl ServerSearch {
    /// Any one of our own user on this machine, but for those that know the CA by files in the
    /// folders `except`: they are followed in their sessions.
    pub(super) fn on_machine(discovery_folders: Vec<PathBuf>, except: CaFolders) -> Self {
        Self {
            processes: Search {
                discovery_folders,
                started_by: None,
                except,
            },
            namespace: None,
            pause: BETWEEN_SEARCHES,
        }
    }

    /// One that the program of a run has started, or a child of it. `ca_folder` holds the CA files
    /// that its environment names, and `namespace` is its own, where it has one.
    ///
    /// # Errors
    /// The operating system's, where the network namespace cannot be told.
    pub(super) fn in_run(
        ca_folder: PathBuf,
        discovery_folders: Vec<PathBuf>,
        namespace: Option<LoopbackDialer>,
    ) -> io::Result<Self> {
        let network = match &namespace {
            Some(namespace) => namespace.network()?,
            None => own_network().ok_or(io::ErrorKind::NotFound)?,
        };
        Ok(Self {
            processes: Search {
                discovery_folders,
                started_by: Some(StartedBy { ca_folder, network }),
                except: CaFolders::default(),
            },
            namespace,
            pause: BETWEEN_SEARCHES_IN_RUN,
        })
    }

    /// The folder of the CA files that the program's environment names, where it is one that a
    /// program starts.
    pub(super) fn ca_folder(&self) -> Option<&Path> {
        let started_by = self.processes.started_by.as_ref();
        started_by.map(|program| &*program.ca_folder)
    }

    /// What opens connections in the program's network namespace, where it has one of its own.
    pub(super) fn namespace(&self) -> Option<&LoopbackDialer> {
        self.namespace.as_ref()
    }
}

/// Starts following, by tasks of `tasks`; `agent` is the state of the supervised agent, and `search`
/// how another one is found, where there is one. Returns who is followed.
pub(super) fn start(
    config: &Config,
    agent: Option<watch::Receiver<AgentState>>,
    search: Option<ServerSearch>,
    tasks: &Tasks,
    correlator: &Arc<Correlator>,
) -> Option<Endpoints> {
    let endpoints = endpoints(config, agent, search, tasks)?;
    let followed = endpoints.clone();
    tasks.spawn(follow::run(
        config.follow.clone(),
        endpoints,
        Arc::clone(correlator),
        tasks.tracker().clone(),
        tasks.stopping().clone(),
    ));
    Some(followed)
}

/// What is configured wins over what is started, and that over what is found.
fn endpoints(
    cascade: &Config,
    agent: Option<watch::Receiver<AgentState>>,
    search: Option<ServerSearch>,
    tasks: &Tasks,
) -> Option<Endpoints> {
    if cascade.mode == Mode::Off {
        return None;
    }
    if cascade.endpoint.is_some() {
        return Some(watch::channel(cascade.endpoint.clone()).1);
    }
    let (sender, endpoints) = watch::channel(None);
    match (agent, search) {
        (Some(agent), _) => tasks.spawn(announced(agent, cascade.token.clone(), sender)),
        (None, Some(search)) => {
            let searcher = Searcher {
                search,
                token: cascade.token.clone(),
                tasks: tasks.tracker().clone(),
            };
            let stopping = tasks.stopping().clone();
            tasks.spawn(async move {
                // A look that is cut off leaves nothing behind.
                stopping.run_until_cancelled(searcher.run(sender)).await;
            });
        }
        (None, None) => return None,
    }
    Some(endpoints)
}

/// Names the agent that is started here, as it announces itself.
async fn announced(
    mut agent: watch::Receiver<AgentState>,
    token: Option<Token>,
    sender: watch::Sender<Option<Endpoint>>,
) {
    loop {
        let endpoint = match &*agent.borrow_and_update() {
            AgentState::Up(announcement) => endpoint(announcement, token.as_ref()),
            AgentState::Down | AgentState::Starting | AgentState::Stopped => None,
        };
        sender.send_if_modified(|known| {
            let is_new = *known != endpoint;
            *known = endpoint;
            is_new
        });
        if agent.changed().await.is_err() {
            return;
        }
    }
}

fn endpoint(announcement: &Announcement, token: Option<&Token>) -> Option<Endpoint> {
    let loopback =
        |port: Option<u16>| port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let announced = announcement
        .csrf_token
        .as_ref()
        .and_then(|token| Token::new(token.expose()));
    let (http, https) = (
        loopback(announcement.http_port),
        loopback(announcement.https_port),
    );
    Endpoint::new(http, https, announced.or_else(|| token.cloned())).ok()
}

/// Looks for a language server until it is stopped.
struct Searcher {
    search: ServerSearch,
    token: Option<Token>,
    tasks: TaskTracker,
}

/// The language server that was found.
struct Found {
    identity: (u32, u64),
    is_for_workspace: bool,
    endpoint: Endpoint,
}

impl Searcher {
    /// Names one for as long as it runs, or until a better one appears. Never returns.
    async fn run(self, sender: watch::Sender<Option<Endpoint>>) {
        let mut known: Option<Found> = None;
        loop {
            let mut candidates = self.candidates().await;
            let still_runs = known.as_ref().is_some_and(|known| {
                let mut running = candidates.iter();
                running.any(|candidate| identity(candidate) == known.identity)
            });
            match &known {
                Some(known) if still_runs => candidates
                    .retain(|candidate| known.is_for_workspace && !candidate.is_for_workspace),
                _ => {
                    known = None;
                    sender.send_if_modified(|endpoint| endpoint.take().is_some());
                }
            }
            if let Some(found) = self.first_that_answers(candidates).await {
                info!(pid = found.identity.0, "found a running language server");
                sender.send_replace(Some(found.endpoint.clone()));
                known = Some(found);
            }
            sleep(self.search.pause).await;
        }
    }

    /// Those of our own user; root sees those of all.
    async fn candidates(&self) -> Vec<Candidate> {
        let processes = self.search.processes.clone();
        let looked = tokio::task::spawn_blocking(move || processes.candidates()).await;
        let own = rustix::process::geteuid().as_raw();
        let mut found = looked.unwrap_or_default();
        found.retain(|candidate| may_follow(own, candidate.uid));
        found
    }

    async fn first_that_answers(&self, candidates: Vec<Candidate>) -> Option<Found> {
        for candidate in best_first(candidates) {
            if let Some(endpoint) = self.answers(&candidate).await {
                return Some(Found {
                    identity: identity(&candidate),
                    is_for_workspace: candidate.is_for_workspace,
                    endpoint,
                });
            }
        }
        None
    }

    /// Where it answers: at the ports that it names, or else at one that it listens on.
    async fn answers(&self, candidate: &Candidate) -> Option<Endpoint> {
        let namespace = self.search.namespace.as_ref();
        let own = candidate.announcement.csrf_token.as_ref();
        let own = own.and_then(|token| Token::new(token.expose()));
        if let Some(endpoint) = endpoint(&candidate.announcement, self.token.as_ref()) {
            return Some(endpoint.within(namespace.cloned()));
        }
        let token = own.or_else(|| self.token.clone());
        for port in &candidate.unknown_ports {
            match probe(*port, token.clone(), namespace, &self.tasks).await {
                Ok(endpoint) => return Some(endpoint),
                Err(RpcError::BadToken) => {
                    warn!(
                        pid = candidate.pid,
                        "a language server wants another token: set cascade.csrf_token"
                    );
                }
                Err(_) => {}
            }
        }
        None
    }
}

fn may_follow(own: u32, owner: u32) -> bool {
    owner == own || own == 0
}

/// The one of all workspaces first, and the youngest: an old one may be what an earlier session
/// left.
fn best_first(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by_key(|candidate| {
        let age = std::cmp::Reverse(candidate.start_time);
        (candidate.is_for_workspace, age)
    });
    candidates
}

fn identity(candidate: &Candidate) -> (u32, u64) {
    (candidate.pid, candidate.start_time)
}

/// A person who has just started an agent looks at it some seconds later.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(10);

/// A program that was started for this should be followed from its first conversation on. A look at
/// 139 processes took 4.5 ms of processor time in an unoptimised build.
const BETWEEN_SEARCHES_IN_RUN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::CsrfToken;

    fn addr(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn announcement(http: Option<u16>, https: Option<u16>, token: Option<&str>) -> Announcement {
        let csrf_token = token.map(|token| CsrfToken::new(token.to_owned()));
        Announcement {
            https_port: https,
            http_port: http,
            lsp_port: Some(9),
            csrf_token,
        }
    }

    fn expected(http: Option<u16>, https: Option<u16>, token: Option<&str>) -> Option<Endpoint> {
        Endpoint::new(
            http.and_then(addr),
            https.and_then(addr),
            token.and_then(Token::new),
        )
        .ok()
    }

    #[test]
    fn an_announcement_makes_an_endpoint() {
        let configured = Token::new("configured");
        let made =
            |http, https, token| endpoint(&announcement(http, https, token), configured.as_ref());
        let (http, https) = (Some(1), Some(2));
        assert_eq!(
            made(http, https, Some("announced")),
            expected(http, https, Some("announced"))
        );
        assert_eq!(
            made(http, https, None),
            expected(http, https, Some("configured"))
        );
        assert_eq!(
            made(http, https, Some("no token")),
            expected(http, https, Some("configured"))
        );
        assert_eq!(
            made(http, None, None),
            expected(http, None, Some("configured"))
        );
        assert_eq!(
            made(None, https, None),
            expected(None, https, Some("configured"))
        );
        assert_eq!(made(None, None, Some("announced")), None);
        assert_eq!(
            endpoint(&announcement(http, https, None), None),
            expected(http, https, None)
        );
    }

    #[test]
    fn the_youngest_of_all_workspaces_is_followed_and_none_of_another_user() {
        let candidate = |pid, start_time, is_for_workspace| Candidate {
            pid,
            uid: 1000,
            start_time,
            is_for_workspace,
            announcement: Announcement::default(),
            unknown_ports: Vec::new(),
        };
        let candidates = vec![
            candidate(1, 10, true),
            candidate(2, 10, false),
            candidate(3, 20, false),
            candidate(4, 20, true),
        ];
        let ordered: Vec<_> = best_first(candidates).iter().map(|it| it.pid).collect();
        assert_eq!(ordered, [3, 2, 4, 1]);
        let may = [(1000, 1000), (0, 1000), (1000, 1001), (1000, 0)];
        let may = may.map(|(own, owner)| may_follow(own, owner));
        assert_eq!(may, [true, true, false, false]);
    }

    #[tokio::test]
    async fn who_is_followed_is_the_agent_as_it_announces_itself() {
        let agent = watch::Sender::new(AgentState::Down);
        let (sender, mut endpoints) = watch::channel(None);
        let up = |http, https| AgentState::Up(announcement(http, https, None));
        let states = [
            (AgentState::Starting, None),
            // An agent that announces nothing, or nothing yet.
            (AgentState::Up(Announcement::default()), None),
            (up(Some(1), None), Some(expected(Some(1), None, None))),
            (up(Some(1), None), None),
            (up(Some(1), Some(2)), Some(expected(Some(1), Some(2), None))),
            (AgentState::Down, Some(None)),
            (AgentState::Starting, None),
            (up(Some(3), Some(4)), Some(expected(Some(3), Some(4), None))),
            (AgentState::Stopped, Some(None)),
        ];
        let mut following = std::pin::pin!(announced(agent.subscribe(), None, sender));
        assert!(futures_util::poll!(&mut following).is_pending());
        assert!(
            !endpoints.has_changed().expect("a sender"),
            "it was nobody before"
        );
        for (state, change) in states {
            agent.send_replace(state.clone());
            assert!(futures_util::poll!(&mut following).is_pending());
            assert_eq!(
                endpoints.has_changed().expect("a sender"),
                change.is_some(),
                "{state:?}"
            );
            if let Some(endpoint) = change {
                assert_eq!(*endpoints.borrow_and_update(), endpoint, "{state:?}");
            }
        }
        drop(agent);
        following.await;
    }
}
