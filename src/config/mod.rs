//! The configuration: file, `GRAVIMETER_*` variables and flags enter, a checked [`Config`] leaves.
//!
//! Flags win over variables, variables over the file, the file over OpenTelemetry's own variables,
//! those over the defaults. What they say is put together in a raw form, key by key, and checked
//! once. Every mistake is found and told in one go, with its place, its key and what to write
//! instead. Starts nothing, logs nothing, and is the only room that reads the environment.

mod beside;
mod check;
mod contradictions;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod given;
mod keys;
mod listen;
mod load;
mod nearest;
mod otel;
mod places;
mod prices;
mod raw;
mod rules;
mod run;
mod source;
mod texts;
mod unclosed;
mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::export::otlp;
use crate::rules::Rules;
use crate::{
    budget, capture, cascade, export, launch, ledger, notify, observe, pricing, relay, tls, web,
};

pub(crate) use file::MAX_BYTES as MAX_FILE_BYTES;
pub(crate) use given::{https_proxy, process_environment, socket_names, ssl_cert_file, sudo_user};
pub use keys::{DefaultValue, Key, Kind, keys};
pub(crate) use listen::Listen;
pub use load::{Inputs, Loaded, load};
pub use places::Places;
pub(crate) use raw::{Raw, RedirectRules};
pub use rules::RuleFiles;
pub(crate) use rules::{RuleTexts, mistakes_of as rule_mistakes, rules_of};
pub use source::{Mistake, Mistakes, Origin, Source};
pub(crate) use texts::{example, reference};
pub(crate) use value::budget_of_a_day;

/// What every room needs to know: the product of their own configurations, checked across them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which agent is started, where one is.
    pub agent: Option<launch::Choice>,
    /// How much may be spent.
    pub budgets: Vec<budget::Budget>,
    /// The file with the roots that the agent trusts, which its user must be able to read.
    pub bundle: PathBuf,
    /// How connections arrive.
    pub capture: capture::Config,
    /// Which conversations are followed.
    pub cascade: cascade::Config,
    /// Folders in which a language server of our own user may have left word of itself.
    pub discovery_folders: Vec<PathBuf>,
    /// How long running exchanges may take to end at shutdown.
    pub drain: Duration,
    /// As whom an agent is started, and what it is given.
    pub launch: launch::Config,
    /// What is kept of calls beyond the end of the process.
    pub ledger: ledger::Config,
    /// The log.
    pub log: Log,
    /// How many models get series of their own.
    pub max_models: usize,
    /// Which metrics are exported.
    pub metrics: export::Config,
    /// Who is told of what changes about budgets.
    pub notify: notify::Config,
    /// What looking at the traffic may take.
    pub observe: observe::Config,
    /// Where spans go.
    pub otlp: otlp::Config,
    /// The prices that hold.
    pub prices: Arc<pricing::Prices>,
    /// The kernel's redirect rules.
    pub redirect: capture::redirect::Config,
    /// What happens to connections.
    pub relay: relay::Config,
    /// The rules that change requests.
    pub rules: Arc<Rules>,
    /// Where they stand, so that they can be read again.
    pub rule_files: RuleFiles,
    /// Who may hand over sessions of `gravimeter run`, and where.
    pub sessions: Sessions,
    /// Where the CA, the ledger and the record of the running agent lie.
    pub state_dir: PathBuf,
    /// How an agent is kept running.
    pub supervision: launch::Supervision,
    /// Who is trusted as a provider.
    pub upstream: tls::upstream::Config,
    /// The exporter.
    pub web: web::Config,
}

impl Config {
    /// The folder of the CA's key and certificate, for nobody but the owner.
    #[must_use]
    pub fn ca_dir(&self) -> PathBuf {
        self.state_dir.join("ca")
    }

    /// The file of the ledger.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.ledger
            .path
            .clone()
            .unwrap_or_else(|| self.state_dir.join("ledger.db"))
    }
}

impl Config {
    /// The Unix socket at which a running Gravimeter takes commands.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.state_dir.join("control.sock")
    }

    /// The Unix socket at which sessions of `gravimeter run` are handed over.
    #[must_use]
    pub fn sessions_socket(&self) -> PathBuf {
        let usual = || self.state_dir.join("sessions.sock");
        self.sessions.socket.clone().unwrap_or_else(usual)
    }
}

/// Who may hand over sessions of `gravimeter run`, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// The Unix socket; `None` is one in the state folder.
    pub socket: Option<PathBuf>,
    /// The group whose members may do so; `None` is our own user alone.
    pub group: Option<String>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives in the syntax of `tracing_subscriber::EnvFilter`; valid.
    pub level: String,
    /// For whom.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// For whom the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, for machines everywhere else.
    Auto,
    /// For people.
    Human,
    /// JSON lines.
    Json,
}

#[cfg(test)]
mod tests;
