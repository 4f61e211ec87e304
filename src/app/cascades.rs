//! Who is followed: the agent that is started here, the one that is configured, or one that is
//! found on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Tasks;
use crate::cascade::client::{Endpoint, RpcError, Token, probe};
use crate::cascade::correlate::Correlator;
use crate::cascade::{Mode, follow};
use crate::config::Config;
use crate::launch::find::{Candidate, candidates};
use crate::launch::{AgentState, Announcement};

/// Where the agent that is followed listens, while there is one.
pub(super) type Endpoints = watch::Receiver<Option<Endpoint>>;

/// Starts following, by tasks of `tasks`; `agent` is the state of the supervised agent, where there
/// is one. Returns who is followed.
pub(super) fn start(
    config: &Config,
    agent: Option<watch::Receiver<AgentState>>,
    tasks: &Tasks,
    correlator: &Arc<Correlator>,
) -> Option<Endpoints> {
    let endpoints = endpoints(config, agent, tasks)?;
    let followed = endpoints.clone();
    tasks.spawn(follow::run(
        config.cascade.follow.clone(),
        endpoints,
        Arc::clone(correlator),
        tasks.tracker().clone(),
        tasks.stopping().clone(),
    ));
    Some(followed)
}

/// What is configured wins over what is started, and that over what is found.
fn endpoints(
    config: &Config,
    agent: Option<watch::Receiver<AgentState>>,
    tasks: &Tasks,
) -> Option<Endpoints> {
    let cascade = &config.cascade;
    if cascade.mode == Mode::Off {
        return None;
    }
    if cascade.endpoint.is_some() {
        return Some(watch::channel(cascade.endpoint.clone()).1);
    }
    let (sender, endpoints) = watch::channel(None);
    match agent {
        Some(agent) => tasks.spawn(announced(agent, cascade.token.clone(), sender)),
        None if cascade.attach => {
            let (folders, token) = (config.discovery_folders.clone(), cascade.token.clone());
            let (tracker, stopping) = (tasks.tracker().clone(), tasks.stopping().clone());
            tasks.spawn(found(folders, token, sender, tracker, stopping));
        }
        None => return None,
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

/// Names a language server of our own user that somebody else has started, for as long as it runs.
async fn found(
    folders: Vec<PathBuf>,
    token: Option<Token>,
    sender: watch::Sender<Option<Endpoint>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
) {
    let mut known: Option<(u32, u64)> = None;
    loop {
        let folders = folders.clone();
        let look = tokio::task::spawn_blocking(move || candidates(&folders))
            .await
            .unwrap_or_default();
        let own = rustix::process::geteuid().as_raw();
        let ours: Vec<Candidate> = look
            .into_iter()
            .filter(|candidate| candidate.uid == own || own == 0)
            .collect();
        let still_runs =
            known.is_some_and(|known| ours.iter().any(|candidate| identity(candidate) == known));
        if !still_runs {
            known = None;
            sender.send_if_modified(|endpoint| endpoint.take().is_some());
            if let Some((identity, endpoint)) =
                first_that_answers(ours, token.as_ref(), &tasks).await
            {
                info!(pid = identity.0, "found a running language server");
                known = Some(identity);
                sender.send_replace(Some(endpoint));
            }
        }
        if stopping
            .run_until_cancelled(sleep(BETWEEN_SEARCHES))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// The youngest one first: an old one may be what an earlier session left.
async fn first_that_answers(
    mut candidates: Vec<Candidate>,
    token: Option<&Token>,
    tasks: &TaskTracker,
) -> Option<((u32, u64), Endpoint)> {
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.start_time));
    for candidate in candidates {
        if let Some(endpoint) = endpoint(&candidate.announcement, token) {
            return Some((identity(&candidate), endpoint));
        }
        let own = candidate
            .announcement
            .csrf_token
            .as_ref()
            .and_then(|token| Token::new(token.expose()));
        for port in &candidate.unknown_ports {
            match probe(*port, own.clone().or_else(|| token.cloned()), tasks).await {
                Ok(endpoint) => return Some((identity(&candidate), endpoint)),
                Err(RpcError::BadToken) => {
                    warn!(
                        pid = candidate.pid,
                        "a language server wants another token: set cascade.csrf_token"
                    );
                }
                Err(_) => {}
            }
        }
    }
    None
}

fn identity(candidate: &Candidate) -> (u32, u64) {
    (candidate.pid, candidate.start_time)
}

/// A person who has just started an agent looks at it some seconds later.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(10);

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
