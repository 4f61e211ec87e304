//! The observed agent as a supervised process of another user: its start (`start`) apart from what
//! keeps it running (`supervise`).
//!
//! What enters: a [`Choice`], a [`Config`] and a [`Supervision`]. What leaves: a running process, its [`AgentState`], facts about its
//! life. It never reads the agent's traffic, never logs what the agent prints unless configured to, and
//! never builds a shell command: sudo runs one fixed command line (`exec`), and what the agent
//! needs reaches it through a socket. Nothing that the agent prints is taken for a message of
//! Gravimeter, and what is shown of it is escaped and bounded.

mod announce;
mod antigravity;
mod connection_guide;
pub(crate) mod find;
pub(crate) mod foreground;
pub(crate) mod launchers;
mod lines;
mod process;
mod program;
mod start;
mod supervise;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use announce::{Announcement, CsrfToken};
pub use antigravity::AntigravityVersion;
pub use connection_guide::ConnectionGuide;
pub(crate) use program::executable;
pub use start::AccountError;
pub(crate) use start::{exec, uid_of};
pub use supervise::{AgentState, Supervision, Supervisor};

/// Which agent is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Any program.
    Command(PathBuf),
    /// A known agent: supplies arguments, standard input and the reading of its announcement.
    Preset {
        /// Which one.
        preset: Preset,
        /// Its executable, in place of the search in the usual places.
        command: Option<PathBuf>,
    },
}

/// The user that an agent is started as, its arguments and its environment. How it is kept running is
/// in [`Supervision`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Arguments; with a preset they follow its own.
    pub args: Vec<String>,
    /// Variables beside `PATH`, `HOME`, `USER`, `LOGNAME` and `LANG`, which they may replace.
    /// Nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// The user it runs as; `None` is our own.
    pub user: Option<String>,
    /// Whether its traffic is redirected by uid, so that it must not run under ours.
    pub redirected: bool,
    /// Its working directory; `None` is its user's home.
    pub working_directory: Option<PathBuf>,
    /// Which flags the Antigravity language server understands.
    pub antigravity_version: AntigravityVersion,
    /// The provider's base URL that the Antigravity language server is given.
    pub cloud_code_endpoint: String,
    /// The Gravimeter executable whose `agent-exec` and `agent-signal` are run; `None` is the
    /// running one.
    pub program: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            args: Vec::new(),
            env: BTreeMap::new(),
            user: None,
            redirected: false,
            working_directory: None,
            antigravity_version: AntigravityVersion::V2,
            cloud_code_endpoint: "https://daily-cloudcode-pa.googleapis.com".into(),
            program: None,
        }
    }
}

/// An agent that Gravimeter knows how to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The language server of Google Antigravity.
    Antigravity,
}

impl Preset {
    /// Every preset.
    pub const ALL: &[Self] = &[Self::Antigravity];

    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Antigravity => "antigravity",
        }
    }
}

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The user is not known, or could not be looked up.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The preset's executable was not found.
    #[error(
        "the agent's executable is in none of the usual places ({searched}): set agent.command"
    )]
    BinaryNotFound {
        /// Where it was looked for.
        searched: String,
    },
    /// The agent could not be executed.
    #[error("the agent could not be started: {0}")]
    Exec(String),
    /// It did not stay up.
    #[error(
        "the agent did not stay up (starts after the first: {restarts}; the last end: {last}): \
         --agent.log_output true shows what it prints"
    )]
    GaveUp {
        /// How often it was started again.
        restarts: u32,
        /// Why it was needed the last time.
        last: crate::record::RestartReason,
    },
    /// Our own entry point did not answer as it should.
    #[error("{program} agent-exec did not take over: {detail}")]
    Handover {
        /// The program.
        program: PathBuf,
        /// What it answered instead.
        detail: String,
    },
    /// An agent of an earlier run is still there and could not be stopped.
    #[error("process {pid} of an earlier run is still there ({detail}): stop it, then start again")]
    Orphan {
        /// The process.
        pid: u32,
        /// Why it could not be stopped.
        detail: String,
    },
    /// Our own executable's path is not known.
    #[error("the path of the running program is not known: {0}")]
    Program(#[source] io::Error),
    /// The agent would run under our own uid although the redirect tells the two apart by uid.
    #[error(
        "the agent's user {user} has uid {uid}, which is our own: its redirect would catch our own connections; set agent.user to another user"
    )]
    SameUser {
        /// The agent's user.
        user: String,
        /// The uid of both.
        uid: u32,
    },
    /// A process could not be started.
    #[error("{program} could not be started: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record of the running agent could not be written.
    #[error("{path}: {source}; the state directory must be writable")]
    StateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// sudo is not installed.
    #[error(
        "sudo is not installed, and only root can start the agent as {user} without it: install sudo"
    )]
    SudoMissing {
        /// The agent's user.
        user: String,
    },
    /// sudo refused.
    #[error(
        "sudo may not start the agent as {user} ({detail}): run `gravimeter redirect install` as root once"
    )]
    SudoRefused {
        /// The agent's user.
        user: String,
        /// sudo's own words.
        detail: String,
    },
}

impl LaunchError {
    /// Whether another attempt would fail in the same way until the machine is changed.
    fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Exec(_) | Self::Handover { .. } | Self::Spawn { .. } | Self::StateFile { .. }
        )
    }
}
