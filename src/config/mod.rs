//! The configuration: file, `GRAVIMETER_*` variables and flags enter, a checked [`Config`] leaves.
//!
//! Flags win over variables, variables over the file, the file over OpenTelemetry's own variables,
//! those over the defaults. Every mistake is found and told in one go, with its place, its key and
//! what to write instead. Starts nothing, logs nothing, and is the only room that reads the
//! environment.

mod check;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod given;
mod keys;
mod listen;
mod nearest;
mod otel;
mod places;
mod prices;
mod source;
mod texts;
mod value;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{capture, cascade, export, launch, ledger, observe, pricing, record, relay, tls, web};

use crate::cascade::client::Endpoint;
use crate::export::otlp::{self, Sampler};

pub use given::{FILE_VARIABLE, process_environment, socket_names, ssl_cert_file, sudo_user};
pub use keys::{DefaultValue, Key, Kind, keys};
pub use listen::Listen;
pub use places::Places;
pub use source::{Mistake, Mistakes, Source};
pub use texts::{example, reference};

/// What every room needs to know: the product of their own configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The observed process. [`Config::has_agent`] says whether there is one.
    pub agent: launch::Config,
    /// Where the agent's roots are written; [`Config::bundle_path`] has the default.
    pub ca_bundle: Option<PathBuf>,
    /// How connections arrive.
    pub capture: capture::Config,
    /// Which conversations are followed.
    pub cascade: cascade::Config,
    /// Where the CONNECT proxy was asked for.
    connect: Listen,
    /// Where a language server that the house does not start speaks in the clear.
    cascade_http: Option<SocketAddr>,
    /// Where it speaks over TLS.
    cascade_https: Option<SocketAddr>,
    /// Folders in which a language server of our own user may have left word of itself.
    pub discovery_folders: Vec<PathBuf>,
    /// How long running exchanges may take to end at shutdown.
    pub drain: Duration,
    /// What is kept of calls beyond the end of the process.
    pub ledger: ledger::Config,
    /// The log.
    pub log: Log,
    /// How many models get series of their own.
    pub max_models: usize,
    /// Which metrics are exported.
    pub metrics: export::Config,
    /// What looking at the traffic may take.
    pub observe: observe::Config,
    /// Where spans go.
    pub otlp: otlp::Config,
    /// By whose word a trace is recorded.
    otlp_sampler: Sampler,
    /// The share of traces that is recorded, where that is by share.
    otlp_sampler_ratio: f64,
    /// Where prices come from.
    pub pricing: pricing::Config,
    /// The prices that follow from it.
    pub prices: Arc<pricing::Prices>,
    /// The kernel's redirect rules.
    pub redirect: capture::redirect::Config,
    /// Whether they are needed.
    pub redirect_rules: RedirectRules,
    /// What happens to connections.
    pub relay: relay::Config,
    /// Where the CA, the ledger and the record of the running agent lie.
    pub state_dir: PathBuf,
    /// Who is trusted as a provider.
    pub upstream: tls::upstream::Config,
    /// The exporter.
    pub web: web::Config,
}

impl Config {
    /// The defaults of every room.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            agent: launch::Config::default(),
            ca_bundle: None,
            capture: capture::Config::default(),
            cascade: cascade::Config::default(),
            connect: Listen::Auto,
            cascade_http: None,
            cascade_https: None,
            discovery_folders: Vec::new(),
            drain: Duration::from_secs(30),
            ledger: ledger::Config::default(),
            log: Log {
                level: "info".to_owned(),
                format: LogFormat::Auto,
            },
            max_models: record::Models::DEFAULT_LIMIT,
            metrics: export::Config::default(),
            observe: observe::Config::default(),
            otlp: otlp::Config::default(),
            otlp_sampler: Sampler::default(),
            otlp_sampler_ratio: 1.0,
            pricing: pricing::Config::default(),
            prices: Arc::new(pricing::Prices::new(pricing::Table::default(), true)),
            redirect: capture::redirect::Config::default(),
            redirect_rules: RedirectRules::Auto,
            relay: relay::Config::default(),
            state_dir,
            upstream: tls::upstream::Config::default(),
            web: web::Config::default(),
        }
    }

    /// Whether there is an agent to start.
    #[must_use]
    pub fn has_agent(&self) -> bool {
        self.agent.preset.is_some() || self.agent.command.is_some()
    }

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

    /// The file with the roots that the agent trusts, which its user must be able to read.
    #[must_use]
    pub fn bundle_path(&self) -> PathBuf {
        self.ca_bundle
            .clone()
            .unwrap_or_else(|| self.state_dir.join("trust/bundle.pem"))
    }

    /// What follows from several keys: the redirect leads to the port that is listened on and
    /// shields the house's own.
    fn derive(&mut self) {
        if let Some(address) = self.capture.redirect_listen.first() {
            self.redirect.port = address.port();
        }
        self.redirect.expected = match self.redirect_rules {
            RedirectRules::Auto => self.agent.user.is_some(),
            RedirectRules::Off => false,
            RedirectRules::External | RedirectRules::Require => true,
        };
        self.capture.connect_listen = match self.connect {
            Listen::At(address) => Some(address),
            Listen::Auto => (!self.redirect.expected).then_some(capture::CONNECT_PROXY),
            Listen::Off => None,
        };
        let doors = [
            self.web.listen,
            self.capture.redirect_listen.first().copied(),
            self.capture.connect_listen,
        ];
        self.redirect.keep_away = doors
            .into_iter()
            .flatten()
            .map(|address| address.port())
            .collect();
        self.redirect.external = self.redirect_rules == RedirectRules::External;
        self.agent.redirected = self.redirect.expected;
        self.otlp.sampling = self.otlp_sampler.sampling(self.otlp_sampler_ratio);
        let cascade = &mut self.cascade;
        // What keeps them from being an endpoint is told as a contradiction.
        cascade.endpoint =
            Endpoint::new(self.cascade_http, self.cascade_https, cascade.token.clone()).ok();
    }
}

impl Config {
    /// Fields of requests are secrets between us and one collector. Those for both signals go to
    /// the endpoint of one signal only where that is the same collector, or where the specification
    /// says so: both come from OpenTelemetry's own variables.
    fn keep_headers_at_home(&mut self, origins: &[Origin]) {
        let is_standard = |key: &str| {
            let origin = origins.iter().find(|origin| origin.key == key);
            origin.is_some_and(|origin| otel::is_of_opentelemetry(&origin.source))
        };
        let Some(home) = &self.otlp.endpoint else {
            return;
        };
        let signals = [
            ("otlp.traces_endpoint", &mut self.otlp.traces),
            ("otlp.metrics_endpoint", &mut self.otlp.metrics.own),
        ];
        for (key, own) in signals {
            let is_elsewhere = own
                .endpoint
                .as_ref()
                .is_some_and(|endpoint| !endpoint.has_origin_of(home));
            if is_elsewhere && !(is_standard("otlp.headers") && is_standard(key)) {
                own.headers.get_or_insert_default();
            }
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives in the syntax of `tracing_subscriber::EnvFilter`; valid.
    pub level: String,
    /// For whom.
    pub format: LogFormat,
}

/// Whether the agent's traffic comes by redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectRules {
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

/// Everything that a configuration is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The file that was named; without it the usual places are searched.
    pub file: Option<PathBuf>,
    /// The keys that were given as flags, with their texts.
    pub flags: Vec<(&'static Key, Vec<String>)>,
    /// Where a configuration and its state usually lie.
    pub places: Places,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// A configuration, and where it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// One entry for each key, in the order of [`keys`].
    pub origins: Vec<Origin>,
    /// What is wrong with OpenTelemetry's variables that are passed over.
    pub warnings: Vec<Mistake>,
}

/// What a key is set to, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The key.
    pub key: &'static str,
    /// Its value as TOML; empty when it is not set. Values of [`Kind::Environment`],
    /// [`Kind::Secret`] and [`Kind::SecretTable`] are left out.
    pub value: String,
    /// Where it was set.
    pub source: Source,
}

/// Puts the configuration together.
///
/// # Errors
/// All mistakes at once.
pub fn load(inputs: &Inputs) -> Result<Loaded, Mistakes> {
    let file = inputs
        .places
        .config_file(inputs.file.as_deref(), &inputs.variables);
    let (mut settings, mut mistakes) = file.as_deref().map(file::read).unwrap_or_default();
    let (variables, unknown) = given::from_variables(&inputs.variables);
    settings.extend(variables);
    settings.extend(given::from_flags(&inputs.flags));
    let is_given = |key: &str| settings.iter().any(|setting| setting.key.name == key);
    let otel::Read {
        settings: standard,
        mut warnings,
        mistakes: wrong,
    } = otel::from_variables(&inputs.variables, is_given);
    mistakes.extend(wrong);
    mistakes.extend(unknown);
    // What the file says is meant for this program, what OpenTelemetry's variables say for every
    // one.
    settings.splice(..0, standard);

    let mut config = Config::new(
        inputs
            .places
            .state_dir(&inputs.variables)
            .unwrap_or_default(),
    );
    let mut origins: Vec<_> = keys().map(Origin::of_default).collect();
    for setting in settings {
        if let Err(value::Wrong { message, line }) = (setting.key.set)(&mut config, &setting.value)
        {
            let told = if otel::is_passed_over(setting.key, &setting.source) {
                &mut warnings
            } else {
                &mut mistakes
            };
            told.push(Mistake::new(
                setting.source.on_line(line),
                setting.key.name,
                message,
            ));
        } else if let Some(origin) = origins
            .iter_mut()
            .find(|origin| origin.key == setting.key.name)
        {
            *origin = Origin::of_setting(setting);
        }
    }
    config.derive();
    config.keep_headers_at_home(&origins);
    config.discovery_folders = inputs.places.discovery_folders(&inputs.variables);
    // The one default that depends on the machine.
    if let Some(origin) = origins
        .iter_mut()
        .find(|origin| origin.key == "state.dir" && origin.value.is_empty())
    {
        origin.value = value::Value::Text(config.state_dir.display().to_string()).to_toml(false);
    }
    mistakes.extend(prices::load(&mut config, &origins));
    // Contradictions between keys that are wrong by themselves would only confuse.
    if mistakes.is_empty() {
        mistakes = check::contradictions(&config, &origins);
    }
    if mistakes.is_empty() {
        Ok(Loaded {
            config,
            file,
            origins,
            warnings,
        })
    } else {
        Err(Mistakes::sorted(mistakes))
    }
}

impl Origin {
    fn of_default(key: &Key) -> Self {
        let value = if let DefaultValue::Is(value) = key.default {
            value.to_owned()
        } else {
            String::new()
        };
        Self {
            key: key.name,
            value,
            source: Source::Default,
        }
    }

    fn of_setting(setting: source::Setting) -> Self {
        let hidden = matches!(
            setting.key.kind,
            Kind::Environment | Kind::Secret | Kind::SecretTable
        );
        Self {
            key: setting.key.name,
            value: setting.value.to_toml(hidden),
            source: setting.source,
        }
    }
}

#[cfg(test)]
mod tests;
