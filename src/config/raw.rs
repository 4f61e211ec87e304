//! The raw configuration: what file, environment and flags said, key by key, with the defaults of
//! what they left out.
//!
//! Each value is valid by itself. [`super::check::check`] finds out whether they fit together, and
//! makes a [`super::Config`] of them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::listen::Listen;
use super::source::{Mistakes, Origin};
use super::{Config, Log, Places, Sessions, check, keys, prices};
use crate::export::otlp::{self, Sampler};
use crate::{
    budget, capture, cascade, export, launch, ledger, notify, observe, pricing, record, relay, tls,
    web,
};

/// One field for each key, or for the keys of a room that has no more to be derived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Raw {
    /// How much may be spent.
    pub(crate) budgets: Vec<budget::Budget>,
    /// An agent that is known.
    pub(crate) agent_preset: Option<launch::Preset>,
    /// An agent's executable.
    pub(crate) agent_command: Option<PathBuf>,
    /// As whom an agent is started, and what it is given.
    pub(crate) launch: launch::Config,
    /// Where the agent's roots are written; below the state folder where nothing is said.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// How connections arrive, but for the CONNECT proxy's address.
    pub(crate) capture: capture::Config,
    /// Where the CONNECT proxy was asked for.
    pub(crate) connect: Listen,
    /// Which conversations are followed, but for the addresses.
    pub(crate) cascade: cascade::Config,
    /// Where a language server that is not started here speaks in the clear.
    pub(crate) cascade_http: Option<SocketAddr>,
    /// Where it speaks over TLS.
    pub(crate) cascade_https: Option<SocketAddr>,
    /// Folders in which a language server of our own user may have left word of itself.
    pub(crate) discovery_folders: Vec<PathBuf>,
    /// How long running exchanges may take to end at shutdown.
    pub(crate) drain: Duration,
    /// What is kept of calls beyond the end of the process.
    pub(crate) ledger: ledger::Config,
    /// The log.
    pub(crate) log: Log,
    /// How many models get series of their own.
    pub(crate) max_models: usize,
    /// Which metrics are exported.
    pub(crate) metrics: export::Config,
    /// Who is told of what changes about budgets.
    pub(crate) notify: notify::Config,
    /// What looking at the traffic may take.
    pub(crate) observe: observe::Config,
    /// Where spans go, but for the sampling.
    pub(crate) otlp: otlp::Config,
    /// By whose word a trace is recorded.
    pub(crate) otlp_sampler: Sampler,
    /// The share of traces that is recorded, where that is by share.
    pub(crate) otlp_sampler_ratio: f64,
    /// Where prices come from.
    pub(crate) pricing: pricing::Config,
    /// Whether the kernel's redirect rules are needed.
    pub(crate) redirect_rules: RedirectRules,
    /// Whose traffic they redirect.
    pub(crate) redirect_user: String,
    /// What happens to connections.
    pub(crate) relay: relay::Config,
    /// The folder with files of rules.
    pub(crate) rules_folder: Option<PathBuf>,
    /// Who may hand over sessions of `gravimeter run`, and where.
    pub(crate) sessions: Sessions,
    /// Where the CA, the ledger and the record of the running agent lie.
    pub(crate) state_dir: Option<PathBuf>,
    /// How an agent is kept running.
    pub(crate) supervision: launch::Supervision,
    /// Who is trusted as a provider.
    pub(crate) upstream: tls::upstream::Config,
    /// The exporter.
    pub(crate) web: web::Config,
}

impl Raw {
    /// The defaults of every room.
    pub(crate) fn new(state_dir: Option<PathBuf>) -> Self {
        Self {
            budgets: Vec::new(),
            agent_preset: None,
            agent_command: None,
            launch: launch::Config::default(),
            ca_bundle: None,
            capture: capture::Config::default(),
            connect: Listen::Auto,
            cascade: cascade::Config::default(),
            cascade_http: None,
            cascade_https: None,
            discovery_folders: Vec::new(),
            drain: Duration::from_secs(30),
            ledger: ledger::Config::default(),
            log: Log::default(),
            max_models: record::Models::DEFAULT_LIMIT,
            metrics: export::Config::default(),
            notify: notify::Config::default(),
            observe: observe::Config::default(),
            otlp: otlp::Config::default(),
            otlp_sampler: Sampler::default(),
            otlp_sampler_ratio: 1.0,
            pricing: pricing::Config::default(),
            redirect_rules: RedirectRules::Auto,
            redirect_user: capture::redirect::Config::default().user,
            relay: relay::Config::default(),
            rules_folder: None,
            sessions: Sessions::default(),
            state_dir,
            supervision: launch::Supervision::default(),
            upstream: tls::upstream::Config::default(),
            web: web::Config::default(),
        }
    }

    /// The defaults on this machine, for the user that the environment tells of.
    pub(super) fn of(places: &Places, variables: &[(OsString, OsString)]) -> Self {
        Self {
            discovery_folders: places.discovery_folders(variables),
            ..Self::new(places.state_dir(variables))
        }
    }

    /// Checks what the program itself has put together, without file, environment and flags.
    ///
    /// # Errors
    /// All mistakes at once.
    pub(crate) fn checked(self) -> Result<Config, Mistakes> {
        let origins: Vec<_> = keys().map(Origin::of_default).collect();
        prices::load(&self.pricing, &origins)
            .and_then(|(prices, _)| check::check(self, prices, &origins))
            .map_err(Mistakes::sorted)
    }

    /// The file with the roots that the agent trusts.
    pub(super) fn bundle(&self, state_dir: &Path) -> PathBuf {
        let usual = || state_dir.join("trust/bundle.pem");
        self.ca_bundle.clone().unwrap_or_else(usual)
    }

    /// Which agent is started, where one is.
    pub(super) fn agent(&self) -> Option<launch::Choice> {
        match (self.agent_preset, self.agent_command.clone()) {
            (Some(preset), command) => Some(launch::Choice::Preset { preset, command }),
            (None, Some(command)) => Some(launch::Choice::Command(command)),
            (None, None) => None,
        }
    }

    /// Whether redirect rules are needed, and looked at.
    pub(super) fn rules(&self) -> capture::redirect::Rules {
        use capture::redirect::Rules;
        match self.redirect_rules {
            RedirectRules::Auto if self.launch.user.is_some() => Rules::Watched,
            RedirectRules::Auto | RedirectRules::Off => Rules::NotNeeded,
            RedirectRules::External => Rules::External,
            RedirectRules::Require => Rules::Watched,
        }
    }

    /// Where the CONNECT proxy listens, if it does.
    pub(super) fn connect_listen(&self) -> Option<SocketAddr> {
        match self.connect {
            Listen::At(address) => Some(address),
            Listen::Auto => (!self.rules().are_needed()).then_some(capture::CONNECT_PROXY),
            Listen::Off => None,
        }
    }
}

/// Whether the agent's traffic comes by redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectRules {
    /// It does when the agent runs as a user of its own.
    Auto,
    /// It does, and whether the rules are in place is somebody else's business: nothing here may
    /// look at them.
    External,
    /// It never does: the agent comes through the CONNECT proxy.
    Off,
    /// It does.
    Require,
}
