//! The table of all keys: one entry has the name, the kind, the default, the words for people and
//! the place in [`Config`].
//!
//! File, environment, flags, the example file and the reference page all follow from it. Nothing is
//! read or checked across keys here.

use crate::launch::{AntigravityVersion, Preset};

use super::value::{Value, Wrong};
use super::{Config, Listen, LogFormat, RedirectRules, listen};
use crate::cascade::Mode;
use crate::export::otlp::{Compression, Protocol, Sampler, Temporality};

/// One key of the configuration.
pub struct Key {
    /// Its name with its section: `web.listen`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when nothing is given.
    pub default: DefaultValue,
    /// What it is for: a sentence, and more lines where they are needed.
    pub help: &'static str,
    /// Puts a value into its place.
    pub(super) set: fn(&mut Config, &Value) -> Result<(), Wrong>,
}

impl Key {
    /// The part before the last dot.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The part after the last dot.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or(self.name, |(_, leaf)| leaf)
    }

    /// The environment variable of the key: `GRAVIMETER_WEB_LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "GRAVIMETER_{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// The first line of [`Key::help`].
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.help.lines().next().unwrap_or_default()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What holds when a key is given nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as TOML.
    Is(&'static str),
    /// Nothing.
    Unset {
        /// A value for the example file, as TOML.
        example: &'static str,
        /// What happens without the key.
        means: &'static str,
    },
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IP address with its port.
    Address,
    /// An address, or `"off"`.
    AddressOrOff,
    /// An address, `"auto"` or `"off"`.
    AddressAutoOrOff,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A time with its unit.
    Duration,
    /// Environment variables for the agent. Their values are never shown.
    Environment,
    /// A number from 0 to 1.
    Fraction,
    /// A list; the word is for one element.
    List(&'static str),
    /// A whole number.
    Number,
    /// A path from the root.
    Path,
    /// A path from the root or, in the file, from the folder of that file.
    PathBeside,
    /// Addresses by host and port.
    Resolve,
    /// A text that is never shown again.
    Secret,
    /// Names and texts that are never shown again.
    SecretTable,
    /// `true` or `false`.
    Switch,
    /// Names and texts.
    Table,
    /// A text.
    Text,
    /// A URL.
    Url,
}

impl Kind {
    /// The word for the value in usage lines: `ADDRESS`.
    #[must_use]
    pub fn placeholder(self) -> String {
        match self {
            Self::Address => "IP:PORT".to_owned(),
            Self::AddressOrOff => "IP:PORT|off".to_owned(),
            Self::AddressAutoOrOff => "IP:PORT|auto|off".to_owned(),
            Self::Choice(words) => words.join("|"),
            Self::Duration => "TIME".to_owned(),
            Self::Environment | Self::SecretTable | Self::Table => "NAME=VALUE".to_owned(),
            Self::Fraction => "RATIO".to_owned(),
            Self::List(element) => format!("{},...", element.to_ascii_uppercase()),
            Self::Number => "NUMBER".to_owned(),
            Self::Path | Self::PathBeside => "PATH".to_owned(),
            Self::Resolve => "HOST:PORT=IP:PORT".to_owned(),
            Self::Secret => "SECRET".to_owned(),
            Self::Switch => "true|false".to_owned(),
            Self::Text => "TEXT".to_owned(),
            Self::Url => "URL".to_owned(),
        }
    }

    /// Whether the flag may be given more than once.
    #[must_use]
    pub fn repeats(self) -> bool {
        matches!(
            self,
            Self::Environment | Self::List(_) | Self::Resolve | Self::SecretTable | Self::Table
        )
    }
}

fn put<T>(place: &mut T, read: Result<T, Wrong>) -> Result<(), Wrong> {
    read.map(|setting| *place = setting)
}

/// Every key, in the order in which people read them.
pub const KEYS: &[Key] = &[
    Key {
        name: "web.listen",
        kind: Kind::AddressOrOff,
        default: DefaultValue::Is(r#""127.0.0.1:8741""#),
        help: "Where /metrics, /v1/usage, health and the page are served.\n\
               \"off\": only at web.socket. Sockets that systemd hands over are used in its place.",
        set: |config, value| {
            put(
                &mut config.web.listen,
                listen::address_or_off(value, "127.0.0.1:8741"),
            )
        },
    },
    Key {
        name: "web.socket",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/run/gravimeter/exporter.sock""#,
            means: "there is no Unix socket",
        },
        help: "A Unix socket where the same is served beside web.listen.\n\
               Its permissions are all that is asked for: web.config_file does not count there.",
        set: |config, value| put(&mut config.web.socket, value.path().map(Some)),
    },
    Key {
        name: "web.socket_mode",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""0660""#),
        help: "The permissions of the socket's file: whoever may write to it may ask.",
        set: |config, value| put(&mut config.web.socket_mode, value.mode()),
    },
    Key {
        name: "web.config_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/web.yml""#,
            means: "web.listen speaks plain HTTP and asks for no password",
        },
        help: "TLS, client certificates and passwords for web.listen, in the web configuration file of the Prometheus\n\
               exporters. It is read again when it, or a file that it names, has changed. As a flag also --web.config.file.",
        set: |config, value| put(&mut config.web.config_file, value.path().map(Some)),
    },
    Key {
        name: "web.allowed_hosts",
        kind: Kind::List("host"),
        default: DefaultValue::Is("[]"),
        help: "Names under which it may be asked beside localhost, 127.0.0.1, [::1] and those of its certificate.\n\
               Requests for any other host are refused, so that no web page can read it through a name of its own.",
        set: |config, value| {
            put(
                &mut config.web.allowed_hosts,
                value.list("metrics.example.com", Value::host_header),
            )
        },
    },
    Key {
        name: "web.danger_expose_to_network",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Accept a web.listen that other machines can reach without TLS and password or client certificate.",
        set: |config, value| put(&mut config.web.danger_expose_to_network, value.switch()),
    },
    Key {
        name: "capture.redirect",
        kind: Kind::Choice(&["auto", "require", "external", "off"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "Whether the agent's traffic comes through the redirect rules of `gravimeter redirect install`.\n\
               \"require\": without them the program is not ready and starts no agent. \"external\": somebody else, such as\n\
               a unit or an init container, sees to them, and they are not looked at. \"off\": the agent uses the CONNECT\n\
               proxy. \"auto\": \"require\" when agent.user is set, \"off\" otherwise.",
        set: |config, value| {
            let words = [
                ("auto", RedirectRules::Auto),
                ("require", RedirectRules::Require),
                ("external", RedirectRules::External),
                ("off", RedirectRules::Off),
            ];
            put(&mut config.redirect_rules, value.choice(&words))
        },
    },
    Key {
        name: "capture.user",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""antigravity-ls""#),
        help: "The user whose connections to port 443 are redirected. Never the one who runs gravimeter.",
        set: |config, value| put(&mut config.redirect.user, value.user()),
    },
    Key {
        name: "capture.listen",
        kind: Kind::List("ip:port"),
        default: DefaultValue::Is(r#"["127.0.0.1:8742", "[::1]:8742"]"#),
        help: "Where redirected connections arrive: one port, on the loopback addresses.",
        set: |config, value| {
            let example = "127.0.0.1:8742";
            put(
                &mut config.capture.redirect_listen,
                value.list(example, |part| part.address(example)),
            )
        },
    },
    Key {
        name: "capture.connect_listen",
        kind: Kind::AddressAutoOrOff,
        default: DefaultValue::Is(r#""auto""#),
        help: "Where the CONNECT proxy listens, for agents that honour HTTPS_PROXY. \"auto\": on 127.0.0.1:8743 where no\n\
               redirect is expected, because nothing could arrive otherwise, and \"off\" beside one. It serves the user who\n\
               runs gravimeter, the agent's (agent.user) and capture.connect_users; others are refused and counted.",
        set: |config, value| put(&mut config.connect, Listen::of(value, "127.0.0.1:8743")),
    },
    Key {
        name: "capture.connect_users",
        kind: Kind::List("user"),
        default: DefaultValue::Is("[]"),
        help: "Further users of this machine whom the CONNECT proxy serves, by name or uid. What they spend counts like the agent's.",
        set: |config, value| {
            put(
                &mut config.capture.connect_users,
                value.list("1000", Value::user_or_uid),
            )
        },
    },
    Key {
        name: "capture.max_connections",
        kind: Kind::Number,
        default: DefaultValue::Is("4096"),
        help: "How many connections may be open at once by redirect, and as many through the CONNECT proxy; more are refused\n\
               and counted. Each takes two file descriptors: where the system's limit (ulimit -n) leaves room for fewer, the number is\n\
               lowered at the start, with a warning, so that the exporter always has descriptors of its own.",
        set: |config, value| {
            put(
                &mut config.capture.max_connections,
                value.number(1..=1_000_000),
            )
        },
    },
    Key {
        name: "capture.allow_private_networks",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the CONNECT proxy may lead into private networks (10.0.0.0/8, fc00::/7 and the like). To this machine\n\
               itself, by whichever of its addresses, and to a cloud's metadata service it never does.",
        set: |config, value| put(&mut config.capture.allow_private_networks, value.switch()),
    },
    Key {
        name: "intercept.hosts",
        kind: Kind::List("host"),
        default: DefaultValue::Is(
            r#"[
    "daily-cloudcode-pa.googleapis.com",
    "cloudcode-pa.googleapis.com",
    "autopush-cloudcode-pa.googleapis.com",
    "staging-cloudcode-pa.googleapis.com",
    "daily-cloudcode-pa.sandbox.googleapis.com",
    "autopush-cloudcode-pa.sandbox.googleapis.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "aiplatform.eu.rep.googleapis.com",
    "aiplatform.us.rep.googleapis.com",
    "africa-south1-aiplatform.googleapis.com",
    "asia-east1-aiplatform.googleapis.com",
    "asia-east2-aiplatform.googleapis.com",
    "asia-northeast1-aiplatform.googleapis.com",
    "asia-northeast2-aiplatform.googleapis.com",
    "asia-northeast3-aiplatform.googleapis.com",
    "asia-south1-aiplatform.googleapis.com",
    "asia-south2-aiplatform.googleapis.com",
    "asia-southeast1-aiplatform.googleapis.com",
    "asia-southeast2-aiplatform.googleapis.com",
    "australia-southeast1-aiplatform.googleapis.com",
    "australia-southeast2-aiplatform.googleapis.com",
    "europe-central2-aiplatform.googleapis.com",
    "europe-north1-aiplatform.googleapis.com",
    "europe-north2-aiplatform.googleapis.com",
    "europe-southwest1-aiplatform.googleapis.com",
    "europe-west1-aiplatform.googleapis.com",
    "europe-west2-aiplatform.googleapis.com",
    "europe-west3-aiplatform.googleapis.com",
    "europe-west4-aiplatform.googleapis.com",
    "europe-west6-aiplatform.googleapis.com",
    "europe-west8-aiplatform.googleapis.com",
    "europe-west9-aiplatform.googleapis.com",
    "europe-west10-aiplatform.googleapis.com",
    "europe-west12-aiplatform.googleapis.com",
    "europe-west15-aiplatform.googleapis.com",
    "me-central1-aiplatform.googleapis.com",
    "me-central2-aiplatform.googleapis.com",
    "me-west1-aiplatform.googleapis.com",
    "northamerica-northeast1-aiplatform.googleapis.com",
    "northamerica-northeast2-aiplatform.googleapis.com",
    "southamerica-east1-aiplatform.googleapis.com",
    "southamerica-west1-aiplatform.googleapis.com",
    "us-central1-aiplatform.googleapis.com",
    "us-central2-aiplatform.googleapis.com",
    "us-east1-aiplatform.googleapis.com",
    "us-east4-aiplatform.googleapis.com",
    "us-east5-aiplatform.googleapis.com",
    "us-east7-aiplatform.googleapis.com",
    "us-south1-aiplatform.googleapis.com",
    "us-west1-aiplatform.googleapis.com",
    "us-west2-aiplatform.googleapis.com",
    "us-west3-aiplatform.googleapis.com",
    "us-west4-aiplatform.googleapis.com",
    "us-west8-aiplatform.googleapis.com",
    "api.anthropic.com",
    "bedrock-runtime.af-south-1.amazonaws.com",
    "bedrock-runtime.ap-east-2.amazonaws.com",
    "bedrock-runtime.ap-northeast-1.amazonaws.com",
    "bedrock-runtime.ap-northeast-2.amazonaws.com",
    "bedrock-runtime.ap-northeast-3.amazonaws.com",
    "bedrock-runtime.ap-south-1.amazonaws.com",
    "bedrock-runtime.ap-south-2.amazonaws.com",
    "bedrock-runtime.ap-southeast-1.amazonaws.com",
    "bedrock-runtime.ap-southeast-2.amazonaws.com",
    "bedrock-runtime.ap-southeast-3.amazonaws.com",
    "bedrock-runtime.ap-southeast-4.amazonaws.com",
    "bedrock-runtime.ap-southeast-5.amazonaws.com",
    "bedrock-runtime.ap-southeast-6.amazonaws.com",
    "bedrock-runtime.ap-southeast-7.amazonaws.com",
    "bedrock-runtime.ca-central-1.amazonaws.com",
    "bedrock-runtime.ca-west-1.amazonaws.com",
    "bedrock-runtime.eu-central-1.amazonaws.com",
    "bedrock-runtime.eu-central-2.amazonaws.com",
    "bedrock-runtime.eu-north-1.amazonaws.com",
    "bedrock-runtime.eu-south-1.amazonaws.com",
    "bedrock-runtime.eu-south-2.amazonaws.com",
    "bedrock-runtime.eu-west-1.amazonaws.com",
    "bedrock-runtime.eu-west-2.amazonaws.com",
    "bedrock-runtime.eu-west-3.amazonaws.com",
    "bedrock-runtime.il-central-1.amazonaws.com",
    "bedrock-runtime.me-central-1.amazonaws.com",
    "bedrock-runtime.me-south-1.amazonaws.com",
    "bedrock-runtime.mx-central-1.amazonaws.com",
    "bedrock-runtime.sa-east-1.amazonaws.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "bedrock-runtime.us-east-2.amazonaws.com",
    "bedrock-runtime.us-gov-east-1.amazonaws.com",
    "bedrock-runtime.us-gov-west-1.amazonaws.com",
    "bedrock-runtime.us-west-1.amazonaws.com",
    "bedrock-runtime.us-west-2.amazonaws.com",
    "bedrock-runtime-fips.ca-central-1.amazonaws.com",
    "bedrock-runtime-fips.us-east-1.amazonaws.com",
    "bedrock-runtime-fips.us-east-2.amazonaws.com",
    "bedrock-runtime-fips.us-gov-east-1.amazonaws.com",
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
    "bedrock-runtime-fips.us-west-1.amazonaws.com",
    "bedrock-runtime-fips.us-west-2.amazonaws.com",
]"#,
        ),
        help: "Hosts whose traffic is decrypted and measured; every other connection passes as it is.\n\
               A * stands for one or more characters of the first label, but lets the CA sign for every name below the\n\
               domain behind it: name the hosts where you can. A change makes a new CA certificate.",
        set: |config, value| {
            put(
                &mut config.relay.intercept,
                value.list("api.example.com", Value::host_pattern),
            )
        },
    },
    Key {
        name: "upstream.extra_roots",
        kind: Kind::List("path"),
        default: DefaultValue::Is("[]"),
        help: "PEM files of certificate authorities that are trusted beside those of the system.",
        set: |config, value| {
            put(
                &mut config.upstream.extra_roots,
                value.list("/etc/ssl/certs/ca.pem", Value::path),
            )
        },
    },
    Key {
        name: "upstream.resolve",
        kind: Kind::Resolve,
        default: DefaultValue::Is("{}"),
        help: "Addresses to dial in place of the real ones, for tests and demos.\n\
               The certificate is verified for the host all the same.",
        set: |config, value| put(&mut config.relay.resolve, value.resolve()),
    },
    Key {
        name: "agent.preset",
        kind: Kind::Choice(&["antigravity"]),
        default: DefaultValue::Unset {
            example: r#""antigravity""#,
            means: "agent.command alone says what is started; without both no agent is",
        },
        help: "An agent that gravimeter knows how to start.",
        set: |config, value| {
            let words: Vec<_> = Preset::ALL
                .iter()
                .map(|preset| (preset.as_str(), *preset))
                .collect();
            put(&mut config.agent.preset, value.choice(&words).map(Some))
        },
    },
    Key {
        name: "agent.command",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/opt/antigravity/bin/language_server_linux_x64""#,
            means: "the preset searches in the usual places",
        },
        help: "The agent's executable.",
        set: |config, value| put(&mut config.agent.command, value.path().map(Some)),
    },
    Key {
        name: "agent.args",
        kind: Kind::List("arg"),
        default: DefaultValue::Is("[]"),
        help: "Arguments of the agent; with a preset they follow its own.",
        set: |config, value| put(&mut config.agent.args, value.list("--verbose", Value::text)),
    },
    Key {
        name: "agent.env",
        kind: Kind::Environment,
        default: DefaultValue::Is("{}"),
        help: "Variables for the agent beside PATH, HOME, USER, LOGNAME and LANG. It inherits no others.\n\
               The values are never shown.",
        set: |config, value| put(&mut config.agent.env, value.environment()),
    },
    Key {
        name: "agent.user",
        kind: Kind::Text,
        default: DefaultValue::Unset {
            example: r#""antigravity-ls""#,
            means: "the agent runs as the user who runs gravimeter",
        },
        help: "The user that the agent runs as; with the redirect it is capture.user.",
        set: |config, value| put(&mut config.agent.user, value.user().map(Some)),
    },
    Key {
        name: "agent.working_directory",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/srv/agent""#,
            means: "the home of its user",
        },
        help: "Where the agent is started.",
        set: |config, value| put(&mut config.agent.working_directory, value.path().map(Some)),
    },
    Key {
        name: "agent.ca_bundle",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/var/lib/gravimeter/trust/bundle.pem""#,
            means: "trust/bundle.pem in state.dir",
        },
        help: "Where the certificates that the agent trusts are written: the system's and gravimeter's CA.\n\
               The agent's user must be able to read it; the agent learns the place from its environment.",
        set: |config, value| put(&mut config.ca_bundle, value.path().map(Some)),
    },
    Key {
        name: "agent.antigravity_version",
        kind: Kind::Choice(&["2", "1.21", "1.20"]),
        default: DefaultValue::Is(r#""2""#),
        help: "Which flags the Antigravity language server understands; it refuses those of another version.",
        set: |config, value| {
            let words: Vec<_> = AntigravityVersion::ALL
                .iter()
                .map(|version| (version.as_str(), *version))
                .collect();
            put(&mut config.agent.antigravity_version, value.choice(&words))
        },
    },
    Key {
        name: "agent.cloud_code_endpoint",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""https://daily-cloudcode-pa.googleapis.com""#),
        help: "The provider's base URL that the Antigravity language server is given.",
        set: |config, value| put(&mut config.agent.cloud_code_endpoint, value.https_url()),
    },
    Key {
        name: "agent.log_output",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the agent's output goes to our log. It may hold prompts and tokens.",
        set: |config, value| put(&mut config.agent.log_output, value.switch()),
    },
    Key {
        name: "agent.restart_backoff_initial",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1s""#),
        help: "The pause before the agent is started again; it doubles with each restart that follows.",
        set: |config, value| put(&mut config.agent.restart_backoff_initial, value.duration()),
    },
    Key {
        name: "agent.restart_backoff_max",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1m""#),
        help: "The longest pause before a restart.",
        set: |config, value| put(&mut config.agent.restart_backoff_max, value.duration()),
    },
    Key {
        name: "agent.restart_limit",
        kind: Kind::Number,
        default: DefaultValue::Is("10"),
        help: "After how many restarts in a row gravimeter gives up.",
        set: |config, value| put(&mut config.agent.restart_limit, value.number(0..=1_000_000)),
    },
    Key {
        name: "agent.steady_after",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5m""#),
        help: "How long the agent must stay up for the count of restarts to begin anew.",
        set: |config, value| put(&mut config.agent.steady_after, value.duration()),
    },
    Key {
        name: "agent.stop_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "How long the agent may take to end by itself before it is killed.",
        set: |config, value| put(&mut config.agent.stop_timeout, value.duration()),
    },
    Key {
        name: "agent.announce_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "How long a preset's agent may take to announce its ports.",
        set: |config, value| put(&mut config.agent.announce_timeout, value.duration()),
    },
    Key {
        name: "observe.max_mib",
        kind: Kind::Number,
        default: DefaultValue::Is("64"),
        help: "How much memory, in MiB, may be used to look at traffic: windows for decompressing bodies, and what is kept of\n\
               calls that are under way. Calls for which none is left are passed on as ever; their figures are lost and\n\
               counted in gravimeter_observer_budget_exceeded_total.",
        set: |config, value| {
            put(
                &mut config.observe.max_memory,
                value.number::<usize>(1..=65_536).map(|mib| mib << 20),
            )
        },
    },
    Key {
        name: "timeouts.client_hello",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "From a connection of the agent to its complete ClientHello.",
        set: |config, value| put(&mut config.relay.timeouts.client_hello, value.duration()),
    },
    Key {
        name: "timeouts.connect_request",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "From a connection to the CONNECT proxy to its complete request.",
        set: |config, value| put(&mut config.capture.connect_request, value.duration()),
    },
    Key {
        name: "timeouts.upstream_connect",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "TCP connection to the provider, name resolution included.",
        set: |config, value| {
            put(
                &mut config.relay.timeouts.upstream_connect,
                value.duration(),
            )
        },
    },
    Key {
        name: "timeouts.upstream_handshake",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "TLS handshake with the provider.",
        set: |config, value| {
            put(
                &mut config.relay.timeouts.upstream_handshake,
                value.duration(),
            )
        },
    },
    Key {
        name: "timeouts.agent_handshake",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "TLS handshake with the agent.",
        set: |config, value| put(&mut config.relay.timeouts.agent_handshake, value.duration()),
    },
    Key {
        name: "timeouts.idle",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1h""#),
        help: "How long a connection may carry no byte in either direction. Models may think for many minutes.",
        set: |config, value| put(&mut config.relay.timeouts.idle, value.duration()),
    },
    Key {
        name: "timeouts.drain",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "How long running exchanges may take to end when gravimeter is told to stop.",
        set: |config, value| put(&mut config.drain, value.duration()),
    },
    Key {
        name: "cascade.follow",
        kind: Kind::Choice(&["auto", "off"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "Whether the agent's own RPC on this machine is asked which calls belong together and when a run is over.\n\
               \"auto\": of the agent that gravimeter starts, or of the one that the other keys of this section name.\n\
               \"off\": of none; calls are joined by what stands in them.",
        set: |config, value| {
            put(
                &mut config.cascade.mode,
                value.choice(&[("auto", Mode::Auto), ("off", Mode::Off)]),
            )
        },
    },
    Key {
        name: "cascade.http_address",
        kind: Kind::Address,
        default: DefaultValue::Unset {
            example: r#""127.0.0.1:49464""#,
            means: "where the agent says on its standard error that it listens",
        },
        help: "Where a language server that gravimeter does not start answers RPC in the clear.",
        set: |config, value| {
            put(
                &mut config.cascade_http,
                value.address("127.0.0.1:49464").map(Some),
            )
        },
    },
    Key {
        name: "cascade.https_address",
        kind: Kind::Address,
        default: DefaultValue::Unset {
            example: r#""127.0.0.1:49463""#,
            means: "where the agent says on its standard error that it listens",
        },
        help: "Where a language server that gravimeter does not start answers RPC over TLS.",
        set: |config, value| {
            put(
                &mut config.cascade_https,
                value.address("127.0.0.1:49463").map(Some),
            )
        },
    },
    Key {
        name: "cascade.csrf_token",
        kind: Kind::Secret,
        default: DefaultValue::Unset {
            example: r#""5e8b8a4c-6f0f-4b0e-9d9a-0c1f2a3b4c5d""#,
            means: "what gravimeter starts the agent with, or none",
        },
        help: "What the language server wants each request to carry (its flag --csrf_token). A secret: better given as a variable.",
        set: |config, value| put(&mut config.cascade.token, value.token().map(Some)),
    },
    Key {
        name: "cascade.attach",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether a language server of the same user that gravimeter did not start is looked for and followed,\n\
               by its discovery file or in /proc.",
        set: |config, value| put(&mut config.cascade.attach, value.switch()),
    },
    Key {
        name: "cascade.poll_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""500ms""#),
        help: "How often a running conversation is asked for when the language server offers no stream.",
        set: |config, value| put(&mut config.cascade.follow.poll_interval, value.duration()),
    },
    Key {
        name: "cascade.idle_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5s""#),
        help: "How often the list of conversations is asked for while nothing happens.",
        set: |config, value| put(&mut config.cascade.follow.idle_interval, value.duration()),
    },
    Key {
        name: "cascade.retry_upward",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1m""#),
        help: "How long after a stream was missing it is tried again.",
        set: |config, value| put(&mut config.cascade.follow.retry_upward, value.duration()),
    },
    Key {
        name: "cascade.quota_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5m""#),
        help: "How often the language server is asked for quotas and for the names of models.",
        set: |config, value| put(&mut config.cascade.follow.quota_interval, value.duration()),
    },
    Key {
        name: "cascade.max_streams",
        kind: Kind::Number,
        default: DefaultValue::Is("64"),
        help: "How many conversations are followed by a stream at the same time; those beyond are asked for.",
        set: |config, value| {
            put(
                &mut config.cascade.follow.max_streams,
                value.number(0..=10_000),
            )
        },
    },
    Key {
        name: "state.dir",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/var/lib/gravimeter""#,
            means: "/var/lib/gravimeter if it may be written, else $XDG_STATE_HOME/gravimeter, else ~/.local/state/gravimeter",
        },
        help: "Where the CA, the ledger and the record of the running agent lie, readable for the owner only.",
        set: |config, value| put(&mut config.state_dir, value.path()),
    },
    Key {
        name: "ledger.enabled",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether calls, runs and quotas are kept in a file (docs/ledger.md), so that figures outlive the program.",
        set: |config, value| put(&mut config.ledger.enabled, value.switch()),
    },
    Key {
        name: "ledger.path",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/var/lib/gravimeter/ledger.db""#,
            means: "ledger.db in state.dir",
        },
        help: "The ledger's file, an SQLite database for the owner only. One program writes it at a time.",
        set: |config, value| put(&mut config.ledger.path, value.path().map(Some)),
    },
    Key {
        name: "ledger.keep_calls",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""2160h""#),
        help: "How long each call is kept with its details (2160h are 90 days). Sums by quarter of an hour are kept for good.",
        set: |config, value| put(&mut config.ledger.keep_calls, value.duration()),
    },
    Key {
        name: "ledger.max_mib",
        kind: Kind::Number,
        default: DefaultValue::Is("2048"),
        help: "How large the file may grow, in MiB, before the oldest calls go earlier than ledger.keep_calls.",
        set: |config, value| {
            put(
                &mut config.ledger.max_size,
                value.number::<u64>(1..=1_048_576).map(|mib| mib << 20),
            )
        },
    },
    Key {
        name: "metrics.genai",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether the metrics of the OpenTelemetry GenAI convention are exported beside gravimeter's own.",
        set: |config, value| put(&mut config.metrics.genai, value.switch()),
    },
    Key {
        name: "metrics.max_models",
        kind: Kind::Number,
        default: DefaultValue::Is("200"),
        help: "How many models get series of their own; all others are counted together as \"other\".",
        set: |config, value| put(&mut config.max_models, value.number(1..=100_000)),
    },
    Key {
        name: "pricing.file",
        kind: Kind::PathBeside,
        default: DefaultValue::Unset {
            example: r#""prices.toml""#,
            means: "only the shipped prices hold",
        },
        help: "A price table that is asked before the shipped one: prices of your own, or of models that it does not know.\n\
               docs/cost.md says how to write one; `gravimeter prices` lists what holds.",
        set: |config, value| put(&mut config.pricing.file, value.path_beside().map(Some)),
    },
    Key {
        name: "pricing.defaults",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether the shipped price table is asked. With false, only models of pricing.file have a cost.",
        set: |config, value| put(&mut config.pricing.defaults, value.switch()),
    },
    Key {
        name: "otlp.endpoint",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:4317""#,
            means: "nothing is traced",
        },
        help: "The OpenTelemetry collector that gets a span for each run, call and new connection.\n\
               For HTTP, /v1/traces is added where the URL has no path. Also: OTEL_EXPORTER_OTLP_ENDPOINT, to whose path\n\
               /v1/traces and /v1/metrics are added.",
        set: |config, value| put(&mut config.otlp.endpoint, value.collector().map(Some)),
    },
    Key {
        name: "otlp.enabled",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether spans are exported, where there is an endpoint. Also: OTEL_TRACES_EXPORTER (\"none\": false),\n\
               OTEL_SDK_DISABLED.",
        set: |config, value| put(&mut config.otlp.enabled, value.switch()),
    },
    Key {
        name: "otlp.protocol",
        kind: Kind::Choice(&["auto", "grpc", "http/protobuf"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "What the collector speaks. \"auto\": gRPC on port 4317, protobuf over HTTP on any other.\n\
               Also: OTEL_EXPORTER_OTLP_PROTOCOL.",
        set: |config, value| put(&mut config.otlp.protocol, value.choice(&PROTOCOLS)),
    },
    Key {
        name: "otlp.headers",
        kind: Kind::SecretTable,
        default: DefaultValue::Is("{}"),
        help: "Fields for each request to the collector, such as its token. Secrets: better given as a variable.\n\
               They go to otlp.endpoint. A signal with an endpoint at another host gets them only where both are said by\n\
               OpenTelemetry's variables, which have it so. Also: OTEL_EXPORTER_OTLP_HEADERS.",
        set: |config, value| put(&mut config.otlp.headers, value.headers()),
    },
    Key {
        name: "otlp.compression",
        kind: Kind::Choice(&["none", "gzip"]),
        default: DefaultValue::Is(r#""none""#),
        help: "How requests to the collector are packed.\n\
               Also: OTEL_EXPORTER_OTLP_COMPRESSION.",
        set: |config, value| put(&mut config.otlp.compression, value.choice(&COMPRESSIONS)),
    },
    Key {
        name: "otlp.ca_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/ssl/collector.pem""#,
            means: "the system's roots vouch for it",
        },
        help: "PEM file of the certificate authorities that may vouch for the collector, and no others.\n\
               Also: OTEL_EXPORTER_OTLP_CERTIFICATE.",
        set: |config, value| put(&mut config.otlp.ca_file, value.path().map(Some)),
    },
    Key {
        name: "otlp.client_certificate",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.pem""#,
            means: "the collector is shown none",
        },
        help: "PEM file of the certificate by which the collector knows us, with its chain; otlp.client_key has its key.\n\
               Also: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE.",
        set: |config, value| put(&mut config.otlp.client_certificate, value.path().map(Some)),
    },
    Key {
        name: "otlp.client_key",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.key""#,
            means: "the collector is shown no certificate",
        },
        help: "PEM file of the key of otlp.client_certificate.\n\
               Also: OTEL_EXPORTER_OTLP_CLIENT_KEY.",
        set: |config, value| put(&mut config.otlp.client_key, value.path().map(Some)),
    },
    Key {
        name: "otlp.timeout",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "How long one request to the collector may take.\n\
               Also, in milliseconds: OTEL_EXPORTER_OTLP_TIMEOUT.",
        set: |config, value| put(&mut config.otlp.timeout, value.duration()),
    },
    Key {
        name: "otlp.give_up_after",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "How long a batch is tried again while the collector is away or busy; then it is dropped and counted.\n\
               Also, in milliseconds: OTEL_BSP_EXPORT_TIMEOUT.",
        set: |config, value| put(&mut config.otlp.give_up_after, value.duration()),
    },
    Key {
        name: "otlp.flush_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5s""#),
        help: "How long a span waits at most for others to go with. Also, in milliseconds: OTEL_BSP_SCHEDULE_DELAY.",
        set: |config, value| put(&mut config.otlp.flush_interval, value.duration()),
    },
    Key {
        name: "otlp.queue",
        kind: Kind::Number,
        default: DefaultValue::Is("2048"),
        help: "How many spans may wait; more are dropped and counted. Also: OTEL_BSP_MAX_QUEUE_SIZE.",
        set: |config, value| put(&mut config.otlp.queue, value.number(1..=1_000_000)),
    },
    Key {
        name: "otlp.batch",
        kind: Kind::Number,
        default: DefaultValue::Is("512"),
        help: "How many spans go in one request at most. Also: OTEL_BSP_MAX_EXPORT_BATCH_SIZE.",
        set: |config, value| put(&mut config.otlp.batch, value.number(1..=10_000)),
    },
    Key {
        name: "otlp.sampler",
        kind: Kind::Choice(&[
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ]),
        default: DefaultValue::Is(r#""parentbased_always_on""#),
        help: "Which traces are recorded, in OpenTelemetry's words. With \"parentbased_\", what the agent says in its request\n\
               (traceparent) decides over traces that began with it. Also: OTEL_TRACES_SAMPLER.",
        set: |config, value| put(&mut config.otlp_sampler, value.choice(&Sampler::WORDS)),
    },
    Key {
        name: "otlp.sampler_ratio",
        kind: Kind::Fraction,
        default: DefaultValue::Is("1.0"),
        help: "The share of traces that is recorded by the samplers with \"traceidratio\". Also: OTEL_TRACES_SAMPLER_ARG.",
        set: |config, value| put(&mut config.otlp_sampler_ratio, value.fraction()),
    },
    Key {
        name: "otlp.service_name",
        kind: Kind::Text,
        default: DefaultValue::Unset {
            example: r#""gravimeter""#,
            means: "service.name of otlp.resource, or \"gravimeter\"",
        },
        help: "The name under which the collector knows this program. Also: OTEL_SERVICE_NAME.",
        set: |config, value| put(&mut config.otlp.service_name, value.text().map(Some)),
    },
    Key {
        name: "otlp.resource",
        kind: Kind::Table,
        default: DefaultValue::Is("{}"),
        help: "What else the collector is told of this program, such as { \"deployment.environment.name\" = \"test\" }.\n\
               Also: OTEL_RESOURCE_ATTRIBUTES.",
        set: |config, value| put(&mut config.otlp.resource, value.table()),
    },
    Key {
        name: "otlp.traces_endpoint",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:4318/v1/traces""#,
            means: "they go to otlp.endpoint",
        },
        help: "Where spans alone go; metrics do not follow them. For HTTP, /v1/traces is added where the URL has no path.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.",
        set: |config, value| {
            put(
                &mut config.otlp.traces.endpoint,
                value.collector().map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_protocol",
        kind: Kind::Choice(&["auto", "grpc", "http/protobuf"]),
        default: DefaultValue::Unset {
            example: r#""grpc""#,
            means: "as otlp.protocol",
        },
        help: "What the collector of spans speaks.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL.",
        set: |config, value| {
            put(
                &mut config.otlp.traces.protocol,
                value.choice(&PROTOCOLS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_headers",
        kind: Kind::SecretTable,
        default: DefaultValue::Unset {
            example: r#"{ "Authorization" = "Bearer ..." }"#,
            means: "as otlp.headers",
        },
        help: "Fields for each request with spans, in place of otlp.headers.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_HEADERS.",
        set: |config, value| put(&mut config.otlp.traces.headers, value.headers().map(Some)),
    },
    Key {
        name: "otlp.traces_compression",
        kind: Kind::Choice(&["none", "gzip"]),
        default: DefaultValue::Unset {
            example: r#""gzip""#,
            means: "as otlp.compression",
        },
        help: "How requests with spans are packed.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_COMPRESSION.",
        set: |config, value| {
            put(
                &mut config.otlp.traces.compression,
                value.choice(&COMPRESSIONS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_ca_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/ssl/collector.pem""#,
            means: "as otlp.ca_file",
        },
        help: "PEM file of the certificate authorities that may vouch for the collector of spans.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE.",
        set: |config, value| put(&mut config.otlp.traces.ca_file, value.path().map(Some)),
    },
    Key {
        name: "otlp.traces_client_certificate",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.pem""#,
            means: "as otlp.client_certificate",
        },
        help: "PEM file of the certificate by which the collector of spans knows us, with its chain.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE.",
        set: |config, value| {
            put(
                &mut config.otlp.traces.client_certificate,
                value.path().map(Some),
            )
        },
    },
    Key {
        name: "otlp.traces_client_key",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.key""#,
            means: "as otlp.client_key",
        },
        help: "PEM file of its key.\n\
               Also: OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY.",
        set: |config, value| put(&mut config.otlp.traces.client_key, value.path().map(Some)),
    },
    Key {
        name: "otlp.traces_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Unset {
            example: r#""10s""#,
            means: "as otlp.timeout",
        },
        help: "How long one request with spans may take.\n\
               Also, in milliseconds: OTEL_EXPORTER_OTLP_TRACES_TIMEOUT.",
        set: |config, value| put(&mut config.otlp.traces.timeout, value.duration().map(Some)),
    },
    Key {
        name: "otlp.metrics",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the metrics of /metrics are pushed as well, for where nobody can scrape.\n\
               Also: OTEL_METRICS_EXPORTER (\"otlp\": true), OTEL_SDK_DISABLED.",
        set: |config, value| put(&mut config.otlp.metrics.enabled, value.switch()),
    },
    Key {
        name: "otlp.metrics_endpoint",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:9090/api/v1/otlp/v1/metrics""#,
            means: "they go to otlp.endpoint",
        },
        help: "Where metrics are pushed to, where it is not where the spans go. For HTTP, /v1/metrics is added where the URL\n\
               has no path. Also: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.endpoint,
                value.collector().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_protocol",
        kind: Kind::Choice(&["auto", "grpc", "http/protobuf"]),
        default: DefaultValue::Unset {
            example: r#""http/protobuf""#,
            means: "as otlp.protocol",
        },
        help: "What the collector of metrics speaks. Also: OTEL_EXPORTER_OTLP_METRICS_PROTOCOL.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.protocol,
                value.choice(&PROTOCOLS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_headers",
        kind: Kind::SecretTable,
        default: DefaultValue::Unset {
            example: r#"{ "Authorization" = "Bearer ..." }"#,
            means: "as otlp.headers",
        },
        help: "Fields for each request to the collector of metrics, in place of otlp.headers. Also: OTEL_EXPORTER_OTLP_METRICS_HEADERS.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.headers,
                value.headers().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_compression",
        kind: Kind::Choice(&["none", "gzip"]),
        default: DefaultValue::Unset {
            example: r#""gzip""#,
            means: "as otlp.compression",
        },
        help: "How requests with metrics are packed.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_COMPRESSION.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.compression,
                value.choice(&COMPRESSIONS).map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_ca_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/ssl/collector.pem""#,
            means: "as otlp.ca_file",
        },
        help: "PEM file of the certificate authorities that may vouch for the collector of metrics.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE.",
        set: |config, value| put(&mut config.otlp.metrics.own.ca_file, value.path().map(Some)),
    },
    Key {
        name: "otlp.metrics_client_certificate",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.pem""#,
            means: "as otlp.client_certificate",
        },
        help: "PEM file of the certificate by which the collector of metrics knows us, with its chain.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.client_certificate,
                value.path().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_client_key",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/client.key""#,
            means: "as otlp.client_key",
        },
        help: "PEM file of its key.\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.client_key,
                value.path().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Unset {
            example: r#""10s""#,
            means: "as otlp.timeout",
        },
        help: "How long one request with metrics may take.\n\
               Also, in milliseconds: OTEL_EXPORTER_OTLP_METRICS_TIMEOUT.",
        set: |config, value| {
            put(
                &mut config.otlp.metrics.own.timeout,
                value.duration().map(Some),
            )
        },
    },
    Key {
        name: "otlp.metrics_temporality",
        kind: Kind::Choice(&["cumulative", "delta", "lowmemory"]),
        default: DefaultValue::Is(r#""cumulative""#),
        help: "What pushed sums begin with: the start of the program, or the push before (\"delta\", \"lowmemory\").\n\
               Also: OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE.",
        set: |config, value| {
            let words = [
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                ("lowmemory", Temporality::Delta),
            ];
            put(&mut config.otlp.metrics.temporality, value.choice(&words))
        },
    },
    Key {
        name: "otlp.metrics_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""60s""#),
        help: "From one push of metrics to the next. Also, in milliseconds: OTEL_METRIC_EXPORT_INTERVAL.",
        set: |config, value| put(&mut config.otlp.metrics.interval, value.duration()),
    },
    Key {
        name: "otlp.diagnostics",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the collector also gets spans of what Gravimeter itself does with each connection: to find out where a\n\
               connection's time goes. Some eight spans a connection, in the same queue as those of calls; what they cost stands in\n\
               docs/performance.md. The share of otlp.sampler holds for them, too.",
        set: |config, value| put(&mut config.otlp.diagnostics, value.switch()),
    },
    Key {
        name: "log.level",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""info""#),
        help: "What is logged to stderr: error, warn, info, debug, trace or off,\n\
               or by module, such as \"info,gravimeter::relay=debug\". Of one kind, 30 lines are told in ten seconds, then how many more\n\
               there were.",
        set: |config, value| put(&mut config.log.level, value.log_filter()),
    },
    Key {
        name: "log.format",
        kind: Kind::Choice(&["auto", "human", "json"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "How it is logged. \"auto\": for people on a terminal, JSON lines everywhere else.",
        set: |config, value| {
            let words = [
                ("auto", LogFormat::Auto),
                ("human", LogFormat::Human),
                ("json", LogFormat::Json),
            ];
            put(&mut config.log.format, value.choice(&words))
        },
    },
];

/// How requests to a collector are packed, in OpenTelemetry's words.
const COMPRESSIONS: [(&str, Compression); 2] =
    [("none", Compression::None), ("gzip", Compression::Gzip)];

/// What a collector may speak, in OpenTelemetry's words and one of ours.
const PROTOCOLS: [(&str, Protocol); 3] = [
    ("auto", Protocol::Auto),
    ("grpc", Protocol::Grpc),
    ("http/protobuf", Protocol::HttpProtobuf),
];
