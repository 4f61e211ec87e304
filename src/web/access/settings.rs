//! Parses the web configuration file of the Prometheus exporters into checked settings, or reports
//! all mistakes.
//!
//! Keys and defaults are those of the exporter-toolkit
//! (<https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>). What
//! the TLS library here cannot do is refused, never ignored. Relative paths begin at the file's own
//! folder. Reads no other file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use jiff::SignedDuration;

use super::mistakes::Mistake;
use super::reader::{Section, shown};
use super::tls_settings::{self, TlsSettings};
use super::users::Hash;
use super::yaml::{self, Node, Value};

/// The settings of a file.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) tls: Option<TlsSettings>,
    /// Whether HTTP/2 is offered over TLS.
    pub(super) http2: bool,
    /// Header fields that are added to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The users that may ask; everybody where there is none.
    pub(super) users: BTreeMap<String, Hash>,
    pub(super) rate: Option<Rate>,
}

/// The rate limit of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// One request in this interval.
    pub(super) interval: Duration,
    /// Most requests at once.
    pub(super) burst: u32,
}

impl Settings {
    /// Reads the text of the file that lies in `folder`.
    pub(super) fn read(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
        let root = yaml::parse(text).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        let mut file = Section::open("", &root, &mut mistakes);
        let tls = file.take("tls_server_config");
        let tls =
            tls.and_then(|(node, line)| tls_settings::read(node, line, folder, &mut mistakes));
        let http = file.take("http_server_config");
        let (http2, headers) = http.map_or((true, Vec::new()), |(node, _)| {
            http_settings(node, &mut mistakes)
        });
        let users = file
            .take("basic_auth_users")
            .map(|(node, _)| users(node, &mut mistakes))
            .unwrap_or_default();
        let rate = file
            .take("rate_limit")
            .and_then(|(node, line)| rate(node, line, &mut mistakes));
        file.end(&mut mistakes);
        if mistakes.is_empty() {
            Ok(Self {
                tls,
                http2,
                headers,
                users,
                rate,
            })
        } else {
            Err(mistakes)
        }
    }
}

fn http_settings(
    node: &Node,
    mistakes: &mut Vec<Mistake>,
) -> (bool, Vec<(HeaderName, HeaderValue)>) {
    let mut section = Section::open("http_server_config", node, mistakes);
    let http2 = section.switch("http2", true, mistakes);
    let headers = section
        .take("headers")
        .map(|(node, _)| headers(node, mistakes))
        .unwrap_or_default();
    section.end(mistakes);
    (http2, headers)
}

/// The five fields that the exporter-toolkit lets a file set, each with the values that it may
/// have.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

fn headers(node: &Node, mistakes: &mut Vec<Mistake>) -> Vec<(HeaderName, HeaderValue)> {
    let mut section = Section::open("http_server_config.headers", node, mistakes);
    let mut headers = Vec::new();
    for (name, allowed) in HEADERS {
        let Some((text, line)) = section.text(name, mistakes) else {
            continue;
        };
        let value = HeaderValue::try_from(text.as_str()).ok();
        let value = value.filter(|_| allowed.is_empty() || allowed.contains(&text.as_str()));
        match (HeaderName::try_from(name), value) {
            (Ok(name), Some(value)) => headers.push((name, value)),
            _ if allowed.is_empty() => {
                mistakes.push(Mistake::new(
                    line,
                    section.full(name),
                    "no value of a header: write printable ASCII",
                ));
            }
            _ => {
                let message = format!("there is no such value: write {}", allowed.join(" or "));
                mistakes.push(Mistake::new(line, section.full(name), message));
            }
        }
    }
    section.end(mistakes);
    headers
}

fn users(node: &Node, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Hash> {
    let mut section = Section::open("basic_auth_users", node, mistakes);
    let mut users = BTreeMap::new();
    for entry in section.all() {
        let key = section.full(&shown(&entry.key));
        if entry.key.is_empty()
            || entry.key.contains(':')
            || entry.key.chars().any(char::is_control)
        {
            let message =
                "no user can send this name: write one without colons and control characters";
            mistakes.push(Mistake::new(entry.line, key, message));
            continue;
        }
        let text = if let Value::Text(text) = &entry.node.value {
            text.as_str()
        } else {
            ""
        };
        match Hash::read(text) {
            Ok(hash) => drop(users.insert(entry.key.clone(), hash)),
            Err(wrong) => mistakes.push(Mistake::new(entry.line, key, wrong)),
        }
    }
    users
}

fn rate(node: &Node, line: usize, mistakes: &mut Vec<Mistake>) -> Option<Rate> {
    let mut section = Section::open("rate_limit", node, mistakes);
    let interval = section.text("interval", mistakes);
    let burst = section.text("burst", mistakes);
    section.end(mistakes);
    let interval = match interval {
        None => return None,
        Some((text, _)) if text == "0" => return None,
        Some((text, line)) => match text
            .parse::<SignedDuration>()
            .ok()
            .and_then(|it| Duration::try_from(it).ok())
        {
            Some(interval) if interval.is_zero() => return None,
            Some(interval) if interval <= LONGEST_INTERVAL => interval,
            _ => {
                let message =
                    "this is no time of up to an hour: write it as 100ms or 1s, or 0 for no limit";
                mistakes.push(Mistake::new(line, "rate_limit.interval", message));
                return None;
            }
        },
    };
    let line = burst.as_ref().map_or(line, |(_, line)| *line);
    match burst
        .and_then(|(text, _)| text.parse().ok())
        .filter(|burst| (1..=MOST_AT_ONCE).contains(burst))
    {
        Some(burst) => Some(Rate { interval, burst }),
        None => {
            let message = format!(
                "without a burst nobody is answered: write a number from 1 to {MOST_AT_ONCE}"
            );
            mistakes.push(Mistake::new(line, "rate_limit.burst", message));
            None
        }
    }
}

/// Longest interval: a rarer permission is of no use.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Largest burst: times the longest interval it is far from overflowing a clock.
const MOST_AT_ONCE: u32 = 1_000_000;
