//! What is said between `run` and a service: a line of JSON for each message.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};

use super::HandedSession;
use crate::budget::BudgetStatus;
use crate::capture::peer::ProgramPattern;
use crate::record::{BranchName, ProgramName, Repository, RepositoryName, Session, SessionId};
use crate::relay::Untrusting;
use crate::summary::{Circumstances, Recorded};

/// The version of the messages. A service of another one is not used.
pub(super) const VERSION: u32 = 2;

/// What `run` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromRun {
    /// First, behind the sockets: what they are for.
    Offer(Offer),
    /// The program runs as this process.
    Started {
        /// Its pid.
        pid: u32,
    },
    /// Last: how the program ended.
    Ended(Ended),
}

/// What a service says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromService {
    /// It observes the session.
    Accepted {
        /// The certificate of its CA, as PEM.
        ca: String,
    },
    /// It does not.
    Refused {
        /// Why, for people.
        why: String,
    },
    /// What was spent.
    Spent(Summary),
}

/// A session that a service shall observe.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    version: u32,
    session: String,
    program: String,
    folder: Option<String>,
    remote: Option<String>,
    branch: Option<String>,
    /// In milliseconds since 1970.
    started_at: u64,
    /// How many of the sockets are for redirected connections; those behind them are CONNECT proxies.
    pub(super) redirect: usize,
    /// [`crate::relay::Config::programs`].
    programs: Vec<String>,
    /// Whether clients that do not trust the CA are let through.
    tunnels_untrusting: bool,
    /// How the language server is found that the program may start; `None` where none shall be
    /// followed.
    pub(super) language_server: Option<OfferedServer>,
}

/// The language server that the program of a session may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfferedServer {
    /// The folder of the CA files that its environment will name.
    pub(super) ca_folder: PathBuf,
    /// Whether it will run in a network namespace of its own: that and its user namespace are then
    /// the last two descriptors.
    pub(super) in_namespace: bool,
    /// Whether the program is known to start one, so that a service that cannot follow it should
    /// not take the session.
    pub(super) is_expected: bool,
}

/// How the program ended, and what the summary says of the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::app) struct Ended {
    pub(in crate::app) duration_seconds: f64,
    pub(in crate::app) exit_code: u8,
    pub(in crate::app) scope: Cow<'static, str>,
    pub(in crate::app) scope_reason: Option<String>,
    pub(in crate::app) scope_failure: Option<String>,
    pub(in crate::app) already_running: Option<u32>,
    pub(in crate::app) log: PathBuf,
    pub(in crate::app) home: Option<PathBuf>,
}

/// What a run has spent, for people and for machines.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Lines of text.
    pub(crate) text: String,
    /// The report as JSON.
    pub(crate) json: Value,
}

impl Offer {
    pub(super) fn new(handed: &HandedSession<'_>) -> Self {
        let session = handed.session;
        let repository = session.repository.as_ref();
        let since = session.started_at.duration_since(UNIX_EPOCH);
        Self {
            version: VERSION,
            session: session.id.to_string(),
            program: session.program.to_string(),
            folder: repository.map(|repository| repository.folder.to_string()),
            remote: repository.and_then(|it| it.remote.as_ref().map(ToString::to_string)),
            branch: repository.and_then(|it| it.branch.as_ref().map(ToString::to_string)),
            started_at: since
                .ok()
                .and_then(|since| u64::try_from(since.as_millis()).ok())
                .unwrap_or_default(),
            redirect: handed.redirect,
            programs: handed.programs.iter().map(ToString::to_string).collect(),
            tunnels_untrusting: handed.untrusting == Untrusting::Tunnel,
            language_server: handed.search.and_then(|search| {
                Some(OfferedServer {
                    ca_folder: search.ca_folder()?.to_owned(),
                    in_namespace: search.namespace().is_some(),
                    is_expected: handed.starts_language_server,
                })
            }),
        }
    }

    pub(super) fn has_known_version(&self) -> bool {
        self.version == VERSION
    }

    /// The session; `None` where the offer has no id or no program.
    pub(super) fn session(&self) -> Option<Session> {
        let folder = self.folder.as_deref().and_then(RepositoryName::of_folder);
        let remote = self.remote.as_deref().and_then(RepositoryName::new);
        let branch = self.branch.as_deref().and_then(BranchName::new);
        Some(Session {
            id: SessionId::parse(&self.session)?,
            program: ProgramName::new(&self.program)?,
            repository: folder.map(|folder| Repository {
                folder,
                remote,
                branch,
            }),
            started_at: UNIX_EPOCH.checked_add(Duration::from_millis(self.started_at))?,
        })
    }

    /// The patterns; `None` where one is none.
    pub(super) fn programs(&self) -> Option<Vec<ProgramPattern>> {
        let patterns = self.programs.iter().map(|text| text.parse().ok());
        patterns.take(MAX_PATTERNS).collect()
    }

    pub(super) fn untrusting(&self) -> Untrusting {
        if self.tunnels_untrusting {
            Untrusting::Tunnel
        } else {
            Untrusting::Refuse
        }
    }
}

impl Ended {
    /// The circumstances of the run of a program that was started then.
    pub(in crate::app) fn circumstances(
        self,
        program: String,
        started_at: SystemTime,
        ledger: Recorded,
        budgets: Vec<BudgetStatus>,
    ) -> Circumstances {
        Circumstances {
            program,
            started_at,
            duration_seconds: self.duration_seconds,
            exit_code: self.exit_code,
            scope: self.scope,
            scope_reason: self.scope_reason,
            scope_failure: self.scope_failure,
            already_running: self.already_running,
            ledger,
            budgets,
            log: self.log,
            home: self.home,
        }
    }
}

/// Sends a message.
///
/// # Errors
/// The operating system's.
pub(in crate::app) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// The next message; `None` at the end of the connection, and for what is no message. Not
/// cancel-safe, unless `line` is kept and given again.
pub(in crate::app) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Option<T> {
    let left = MAX_LINE.saturating_sub(line.len());
    let mut limited = stream.take(u64::try_from(left).unwrap_or_default());
    limited.read_until(b'\n', line).await.ok()?;
    if line.last() != Some(&b'\n') {
        return None;
    }
    let message = serde_json::from_slice(line).ok();
    line.clear();
    message
}

/// The longest message: a summary with some hundred hosts has 30 kB.
const MAX_LINE: usize = 1 << 20;

/// Patterns that a session may have.
const MAX_PATTERNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ServerSearch;

    #[tokio::test]
    async fn an_offer_arrives_as_it_was_made() {
        let session = Session {
            id: SessionId::parse("one").unwrap(),
            program: ProgramName::new("claude").unwrap(),
            repository: Some(Repository {
                folder: RepositoryName::of_folder("name").unwrap(),
                remote: RepositoryName::of_remote("git@example.com:owner/name.git"),
                branch: BranchName::new("main"),
            }),
            started_at: UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
        };
        let patterns = ["language_server*".parse().unwrap()];
        let search = ServerSearch::in_run("/run/trust".into(), Vec::new(), None).unwrap();
        let offer = Offer::new(&HandedSession {
            session: &session,
            listeners: &[],
            redirect: 2,
            programs: &patterns,
            untrusting: Untrusting::Tunnel,
            search: Some(&search),
            starts_language_server: true,
        });
        let mut sent = Vec::new();
        send(&mut sent, &FromRun::Offer(offer)).await.unwrap();
        let mut line = Vec::new();
        let received = receive(&mut sent.as_slice(), &mut line).await;
        let Some(FromRun::Offer(offer)) = received else {
            panic!("{received:?}");
        };
        assert!(offer.has_known_version() && offer.redirect == 2);
        assert_eq!(offer.session(), Some(session));
        assert_eq!(offer.programs(), Some(patterns.to_vec()));
        assert_eq!(offer.untrusting(), Untrusting::Tunnel);
        let server = OfferedServer {
            ca_folder: "/run/trust".into(),
            in_namespace: false,
            is_expected: true,
        };
        assert_eq!(offer.language_server, Some(server));
    }

    #[tokio::test]
    async fn what_is_no_message_is_none() {
        let long = vec![b'x'; MAX_LINE + 10];
        for bytes in [&b""[..], b"{}", b"{}\n", b"\n", b"\xff\n", &long] {
            let mut line = Vec::new();
            let received: Option<FromRun> = receive(&mut &*bytes, &mut line).await;
            assert!(received.is_none() && line.len() <= MAX_LINE);
        }
    }
}
