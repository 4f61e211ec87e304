//! Settings from the environment and from flags: plain texts, shaped by the kind of their key.
//!
//! A list is written with commas, a map as `name=value` with commas; both may also be written as
//! TOML, which is how an element gets a comma of its own. A repeated flag adds elements.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::file;
use super::keys::{Key, Kind, keys};
use super::nearest::nearest;
use super::source::{Mistake, Setting, Source};
use super::value::{Part, Value};

/// The variable that names the configuration file, as `--config` does.
pub(super) const FILE_VARIABLE: &str = "GRAVIMETER_CONFIG";

/// The variables of this process.
pub(crate) fn process_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Who called sudo, when this process runs under it.
pub(crate) fn sudo_user() -> Option<String> {
    std::env::var_os("SUDO_USER")?
        .into_string()
        .ok()
        .filter(|user| !user.is_empty() && user != "root")
}

/// The roots that this process was told to trust, as OpenSSL and Go read them.
pub(crate) fn ssl_cert_file() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// The HTTP proxy at an IP address that this process was told to use.
pub(crate) fn https_proxy() -> Option<SocketAddr> {
    let url = std::env::var_os("HTTPS_PROXY")?.into_string().ok()?;
    url.strip_prefix("http://")?
        .trim_end_matches('/')
        .parse()
        .ok()
}

/// What the service manager calls the sockets that it hands over, in their order
/// (`FileDescriptorName=` of systemd).
pub(crate) fn socket_names() -> Vec<String> {
    let names = std::env::var_os("LISTEN_FDNAMES")
        .and_then(|names| names.into_string().ok())
        .unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}

/// Reads the settings among `variables`; those of other programs are passed over.
pub(super) fn from_variables(variables: &[(OsString, OsString)]) -> (Vec<Setting>, Vec<Mistake>) {
    let mut ours: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .collect();
    ours.retain(|(name, _)| {
        name.starts_with(PREFIX) && *name != FILE_VARIABLE && !is_service_link(name)
    });
    ours.sort_unstable();
    let (mut settings, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in ours {
        let source = Source::Variable(name.to_owned());
        match (keys().find(|key| key.variable() == name), value.to_str()) {
            (Some(key), Some(text)) => settings.push(Setting {
                key,
                value: shape(key, &[text.to_owned()]),
                source,
            }),
            (Some(_), None) => mistakes.push(Mistake::of_place(
                source,
                "the value is not UTF-8: write it in UTF-8",
            )),
            (None, _) => mistakes.push(Mistake::of_place(source, unknown_variable(name))),
        }
    }
    (settings, mistakes)
}

/// Reads the settings among flags, each with the texts that it was given.
pub(super) fn from_flags(flags: &[(&'static Key, Vec<String>)]) -> Vec<Setting> {
    let setting = |(key, texts): &(&'static Key, Vec<String>)| Setting {
        key,
        value: shape(key, texts),
        source: Source::Flag(key.name.to_owned()),
    };
    flags.iter().map(setting).collect()
}

fn unknown_variable(name: &str) -> String {
    // What all names share would make each of them look alike.
    let known: Vec<_> = keys().map(Key::variable).collect();
    let known = known
        .iter()
        .filter_map(|variable| variable.strip_prefix(PREFIX));
    match nearest(name.strip_prefix(PREFIX).unwrap_or(name), known) {
        Some(rest) => format!("there is no such key: did you mean {PREFIX}{rest}?"),
        None => {
            "there is no such key: unset it, or look into `gravimeter config reference`".to_owned()
        }
    }
}

/// Kubernetes gives every container such variables when a service is called `gravimeter`; nobody
/// set them on purpose.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let port = rest
        .strip_prefix("PORT_")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    port || matches!(rest, "PORT" | "SERVICE_HOST" | "SERVICE_PORT")
        || rest.starts_with("SERVICE_PORT_")
}

pub(super) fn shape(key: &Key, texts: &[String]) -> Value {
    match key.kind {
        Kind::List(_) => Value::List(texts.iter().flat_map(|text| elements(text)).collect()),
        Kind::Environment | Kind::Resolve | Kind::SecretTable | Kind::Table => pairs(texts),
        Kind::Tables => tables(texts),
        _ => Value::Text(texts.last().cloned().unwrap_or_default()),
    }
}

/// An IPv6 address begins with a bracket, too: only a bracket with a quote behind it opens a TOML
/// list.
fn elements(text: &str) -> Vec<Part> {
    let inner = text.strip_prefix('[').map(str::trim_start);
    if inner.is_some_and(|inner| inner.starts_with(['"', '\'', ']']))
        && let Some(Value::List(values)) = file::parse_value(text)
    {
        return values;
    }
    let words = text.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(|word| part("", word))
        .collect()
}

/// Tables are written in TOML: `[{ name = "daily", ... }]`.
fn tables(texts: &[String]) -> Value {
    let text = texts.last().cloned().unwrap_or_default();
    match file::parse_value(&text) {
        Some(tables @ Value::List(_)) => tables,
        _ => Value::Text(text),
    }
}

fn pairs(texts: &[String]) -> Value {
    let mut parts = Vec::new();
    for text in texts {
        if let Some(Value::Map(parsed)) = text
            .starts_with('{')
            .then(|| file::parse_value(text))
            .flatten()
        {
            parts.extend(parsed);
            continue;
        }
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Value::Text(String::new());
            };
            parts.push(part(name.trim(), value));
        }
    }
    Value::Map(parts)
}

fn part(name: &str, text: &str) -> Part {
    Part {
        name: name.to_owned(),
        value: Value::Text(text.to_owned()),
        line: None,
    }
}

/// What all our variables begin with.
const PREFIX: &str = "GRAVIMETER_";
