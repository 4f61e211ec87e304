//! The table of all keys, a file for each section: one entry has the name, the kind, the default,
//! the words for people and the place in [`Raw`].
//!
//! File, environment, flags, the example file and the reference page all follow from it. Nothing is
//! read or checked across keys here.

mod agent;
mod base_url;
mod budget;
mod capture;
mod cascade;
mod intercept;
mod ledger;
mod log;
mod metrics;
mod notify;
mod observe;
mod otlp;
mod pricing;
mod rules;
mod sessions;
mod state;
mod timeouts;
mod upstream;
mod web;

use std::sync::LazyLock;

use super::raw::Raw;
use super::value::{Value, Wrong};
use crate::dialect;

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
    pub(super) set: fn(&mut Raw, &Value) -> Result<(), Wrong>,
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
    /// The hosts that the dialects read ([`dialect::hosts`]).
    InterceptedHosts,
    /// Nothing.
    Unset {
        /// A value for the example file, as TOML.
        example: &'static str,
        /// What happens without the key.
        means: &'static str,
    },
}

impl DefaultValue {
    /// The value as TOML; `None` where there is none.
    pub(in crate::config) fn toml(self) -> Option<&'static str> {
        static HOSTS: LazyLock<String> = LazyLock::new(|| {
            let hosts = dialect::hosts().map(|host| format!("    \"{host}\",\n"));
            format!("[\n{}]", hosts.collect::<String>())
        });
        match self {
            Self::InterceptedHosts => Some(&HOSTS),
            Self::Is(value) => Some(value),
            Self::Unset { .. } => None,
        }
    }
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
    /// Any number of tables, each below a header of its own (`[[budget]]`).
    Tables,
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
            Self::Tables => "[{KEY = VALUE, ...}, ...]".to_owned(),
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
pub fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    SECTIONS.iter().copied().flatten()
}

const SECTIONS: &[&[Key]] = &[
    web::KEYS,
    capture::KEYS,
    base_url::KEYS,
    intercept::KEYS,
    upstream::KEYS,
    agent::KEYS,
    observe::KEYS,
    timeouts::KEYS,
    cascade::KEYS,
    state::KEYS,
    sessions::KEYS,
    ledger::KEYS,
    metrics::KEYS,
    pricing::KEYS,
    rules::KEYS,
    otlp::COLLECTOR,
    otlp::TRACES,
    otlp::METRICS,
    otlp::DIAGNOSTICS,
    log::KEYS,
    notify::KEYS,
    budget::KEYS,
];
