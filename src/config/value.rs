//! What a key is given, wherever it comes from, and the readers that turn it into a typed setting.
//!
//! A [`Value`] enters, a typed setting leaves, or a [`Wrong`] that says what was found and what to
//! write instead. Never echoes what a key marked as hidden was given.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cascade::client::Token;
use crate::export::otlp::{Endpoint, Headers};
use crate::record::{Host, HostPattern};

/// What a key is given, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A TOML float, as it stands.
    Fraction(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML array, or the parts of a variable or flag.
    List(Vec<Part>),
    /// A TOML table, or the `name=value` parts of a variable or flag.
    Map(Vec<Part>),
    /// A TOML type that no key takes, by its name.
    Other(&'static str),
    /// A TOML boolean.
    Switch(bool),
    /// A TOML string, or a variable or flag as it stands.
    Text(String),
}

/// One element of a list or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name; empty in a list.
    pub(super) name: String,
    pub(super) value: Value,
    /// Its line in the file, from 1; `None` outside a file.
    pub(super) line: Option<usize>,
}

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    /// The line of the part that is wrong, when it is known to be that part.
    pub(super) line: Option<usize>,
}

impl Wrong {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            line: None,
        }
    }
}

impl Part {
    /// Reads the part; what is wrong is then wrong on its line.
    fn read<T>(&self, read: impl FnOnce(&Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        read(self).map_err(|wrong| Wrong {
            line: self.line,
            ..wrong
        })
    }
}

impl Value {
    /// A text that is not empty and holds no control character.
    pub(super) fn text(&self) -> Result<String, Wrong> {
        match self {
            Self::Text(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
                Ok(text.clone())
            }
            _ => Err(self.is_not("a text", "it in quotes, without line breaks")),
        }
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Result<bool, Wrong> {
        match self {
            Self::Switch(on) => Ok(*on),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => Err(self.is_not("true or false", "true or false without quotes")),
        }
    }

    /// A whole number within a range.
    pub(super) fn number<T: TryFrom<u32>>(&self, range: RangeInclusive<u32>) -> Result<T, Wrong> {
        let number = match self {
            Self::Integer(number) => u32::try_from(*number).ok(),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        };
        let fitting = number
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        fitting.ok_or_else(|| {
            let example = 100.clamp(*range.start(), *range.end());
            let what = format!("a whole number from {} to {}", range.start(), range.end());
            self.is_not(&what, &format!("it without quotes, such as {example}"))
        })
    }

    /// A time with a unit, longer than nothing and at most [`LONGEST`].
    pub(super) fn duration(&self) -> Result<Duration, Wrong> {
        let bare = match self {
            Self::Integer(number) => Some(number.to_string()),
            Self::Text(text)
                if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() =>
            {
                Some(text.clone())
            }
            _ => None,
        };
        if let Some(number) = bare {
            let in_seconds = format!("{number}s");
            let how = match Self::Text(in_seconds.clone()).duration() {
                Ok(_) => format!("write it as {in_seconds:?} for seconds"),
                Err(_) => r#"write a time such as "10s", "5m" or "1h30m""#.to_owned(),
            };
            return Err(Wrong::new(format!("{number} has no unit: {how}")));
        }
        let Self::Text(text) = self else {
            return Err(self.is_not("a time", r#"it as "10s", "5m" or "1h30m""#));
        };
        let read = text
            .parse::<SignedDuration>()
            .ok()
            .and_then(|it| Duration::try_from(it).ok());
        match read {
            None => Err(self.is_not("a time", r#"it as "10s", "5m" or "1h30m""#)),
            Some(it) if it.is_zero() => Err(Wrong::new(format!(
                r#"{self} leaves no time at all: write "10s" or more"#
            ))),
            Some(it) if it > LONGEST => {
                let hours = LONGEST.as_secs() / 3600;
                Err(Wrong::new(format!(
                    r#"{self} is longer than a year: write "{hours}h" (366 days) or less"#
                )))
            }
            Some(it) => Ok(it),
        }
    }

    /// An IP address with its port, such as `example`.
    pub(super) fn address(&self, example: &str) -> Result<SocketAddr, Wrong> {
        let text = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        text.parse().map_err(|_| {
            let port = text
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<u16>().ok());
            let right = port.map_or_else(|| example.to_owned(), |port| format!("127.0.0.1:{port}"));
            self.is_not(
                "an address",
                &format!("it as {right:?} (IP address and port)"),
            )
        })
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&self) -> Result<f64, Wrong> {
        let number = match self {
            Self::Fraction(text) | Self::Text(text) => text.parse().ok(),
            Self::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            _ => None,
        };
        let fitting = number.filter(|number| (0.0..=1.0).contains(number));
        let how = "it is not a number from 0 to 1: write it without quotes, such as 0.25";
        fitting.ok_or_else(|| Wrong::new(how.to_owned()))
    }

    /// The base URL of a collector. What may be a secret is not repeated.
    pub(super) fn collector(&self) -> Result<Endpoint, Wrong> {
        let endpoint = if let Self::Text(text) = self {
            Endpoint::parse(text)
        } else {
            None
        };
        endpoint.ok_or_else(|| {
            let how = r#"this is not a collector's URL: write it as "http://127.0.0.1:4317", without user and query"#;
            Wrong::new(format!("{how}; what it must know of us stands in otlp.headers"))
        })
    }

    /// Fields of a request. Their values are not repeated.
    pub(super) fn headers(&self) -> Result<Headers, Wrong> {
        let mut headers = Headers::default();
        for part in self.parts("name")? {
            part.read(|Part { name, value, .. }| {
                let Self::Text(text) = value else {
                    return Err(Wrong::new(format!(
                        "the value of {name} is not a text: write it in quotes"
                    )));
                };
                headers.add(name, text).map_err(|what| match what {
                    "name" => Wrong::new(format!(
                        "{name:?} is not the name of a header: write letters, digits and '-'"
                    )),
                    _ => Wrong::new(format!(
                        "the value of {name} is not one of a header: write it in printable ASCII"
                    )),
                })
            })?;
        }
        Ok(headers)
    }

    /// Names and texts.
    pub(super) fn table(&self) -> Result<BTreeMap<String, String>, Wrong> {
        let entry = |Part { name, value, .. }: &Part| Ok((name.clone(), value.text()?));
        self.parts("name")?
            .iter()
            .map(|part| part.read(entry))
            .collect()
    }

    fn parts(&self, example: &str) -> Result<&[Part], Wrong> {
        match self {
            Self::Map(parts) => Ok(parts),
            _ => Err(Wrong::new(format!(
                r#"this is not a table: write it as {{ {example} = "value" }}"#
            ))),
        }
    }

    /// A path that does not depend on where the program is started.
    pub(super) fn path(&self) -> Result<PathBuf, Wrong> {
        match self.text() {
            Ok(text) if text.starts_with('/') => Ok(text.into()),
            _ => {
                let name = if let Self::Text(text) = self {
                    Path::new(text).file_name()
                } else {
                    None
                };
                let path = |name: &str| Self::Text(format!("/path/to/{name}"));
                let given = name
                    .and_then(OsStr::to_str)
                    .map(path)
                    .filter(|path| path.text().is_ok());
                let example = given.unwrap_or_else(|| path("it")).to_toml(false);
                Err(self.is_not("a whole path", &format!("it from the root, as {example}")))
            }
        }
    }

    /// A path that may begin at the folder of the configuration file, which only who knows that
    /// file can tell.
    pub(super) fn path_beside(&self) -> Result<PathBuf, Wrong> {
        self.text()
            .map(PathBuf::from)
            .map_err(|_| self.is_not("a path", r#"it as "/etc/gravimeter/prices.toml""#))
    }

    /// The permissions of a file, as `chmod` takes them.
    pub(super) fn mode(&self) -> Result<u32, Wrong> {
        let digits = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        let octal = (3..=4).contains(&digits.len())
            && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode = u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| octal && *mode <= 0o777);
        mode.ok_or_else(|| {
            self.is_not(
                "a mode of a file",
                r#"it in octal digits and quotes, as "0660""#,
            )
        })
    }

    /// A pattern of hosts to decrypt.
    pub(super) fn host_pattern(&self) -> Result<HostPattern, Wrong> {
        let Self::Text(text) = self else {
            return Err(self.is_not("a host", r#"it as "api.example.com""#));
        };
        HostPattern::parse(text).map_err(|_| {
            let how = r#"it as "api.example.com" or "*.example.com" (one * in the first label, no address, no port)"#;
            self.is_not("a host pattern", how)
        })
    }

    /// A name or IP address as it stands in a `Host` header, with a port or without.
    pub(super) fn host_header(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let host = match text.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => host,
            _ => &text,
        };
        let unbracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let numeric = unbracketed.map_or_else(
            || host.parse::<Ipv4Addr>().is_ok(),
            |it| it.parse::<Ipv6Addr>().is_ok(),
        );
        if numeric || Host::parse(host).is_ok() {
            return Ok(text);
        }
        Err(self.is_not(
            "a host",
            r#"it as "metrics.example.com", "192.0.2.7" or "[2001:db8::7]", without a scheme"#,
        ))
    }

    /// The name of an account of this machine.
    pub(super) fn user(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let start = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let rest = text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.')
        });
        if start && rest && text.len() <= 32 {
            return Ok(text);
        }
        Err(self.is_not(
            "a user name",
            r#"a name of /etc/passwd, such as "antigravity-ls" (no number)"#,
        ))
    }

    /// The name of an account of this machine, or a uid.
    pub(super) fn user_or_uid(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok() {
            return Ok(text);
        }
        self.user().map_err(|_| {
            self.is_not(
                "a user",
                r#"a name of /etc/passwd or a uid, such as "ann" or "1000""#,
            )
        })
    }

    /// An `https://` base URL. A query or credentials would end up in logs, so neither is accepted.
    pub(super) fn https_url(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let uri = text
            .parse::<http::Uri>()
            .ok()
            .filter(|uri| uri.scheme_str() == Some("https") && uri.query().is_none());
        match uri.and_then(|uri| {
            uri.authority()
                .filter(|authority| !authority.as_str().contains('@'))
                .cloned()
        }) {
            Some(_) => Ok(text),
            None => Err(self.is_not("a base URL", r#"it as "https://api.example.com""#)),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Wrong> {
        let given = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        words
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, it)| *it)
            .ok_or_else(|| {
                let all: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                self.is_not("one of its words", &all.join(" or "))
            })
    }

    /// What to log, in the syntax of `EnvFilter`. It would take a misspelt level for the name of a
    /// module and log nothing.
    pub(super) fn log_filter(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let directive =
            |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
        if text.split(',').all(directive)
            && EnvFilter::builder().with_regex(false).parse(&text).is_ok()
        {
            return Ok(text);
        }
        let how = r#""error", "warn", "info", "debug", "trace" or "off", or by module "info,gravimeter::relay=debug""#;
        Err(self.is_not("a log level", how))
    }

    /// Each element, read by `read`, such as the text `example`.
    pub(super) fn list<T>(
        &self,
        example: &str,
        read: impl Fn(&Self) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        if let Self::List(parts) = self {
            return parts
                .iter()
                .map(|part| part.read(|part| read(&part.value)))
                .collect();
        }
        let element = if read(self).is_ok() {
            self.to_toml(false)
        } else {
            quoted(example)
        };
        Err(self.is_not("a list", &format!("it as [{element}]")))
    }

    /// Names and values of environment variables. What was given is never repeated: it may be a
    /// secret.
    pub(super) fn environment(&self) -> Result<BTreeMap<String, String>, Wrong> {
        let Self::Map(parts) = self else {
            return Err(Wrong::new(
                r#"this is not a table: write it as { NAME = "value" }"#.to_owned(),
            ));
        };
        let entry = |Part { name, value, .. }: &Part| match value {
            _ if name.is_empty() || name.contains(['=', '\0']) => Err(Wrong::new(format!(
                "{name:?} is not the name of a variable: write it without '='"
            ))),
            Self::Text(text) if !text.contains('\0') => Ok((name.clone(), text.clone())),
            _ => Err(Wrong::new(format!(
                "the value of {name} is not a text: write it in quotes"
            ))),
        };
        parts.iter().map(|part| part.read(entry)).collect()
    }

    /// Hosts with port, and the addresses to dial for them.
    pub(super) fn resolve(&self) -> Result<HashMap<(Host, u16), SocketAddr>, Wrong> {
        let Self::Map(parts) = self else {
            return Err(self.is_not(
                "a table",
                r#"it as { "api.example.com:443" = "127.0.0.1:8443" }"#,
            ));
        };
        let entry = |Part { name, value, .. }: &Part| {
            let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
            let host = Host::parse(host)
                .ok()
                .zip(port.parse().ok().filter(|port| *port != 0));
            let host = host.ok_or_else(|| {
                Wrong::new(format!(
                    r#"{name:?} is not a host with its port: write it as "api.example.com:443""#
                ))
            })?;
            Ok((host, value.address("127.0.0.1:8443")?))
        };
        parts.iter().map(|part| part.read(entry)).collect()
    }

    /// A token; what it was is told to nobody.
    pub(super) fn token(&self) -> Result<Token, Wrong> {
        let token = if let Self::Text(text) = self {
            Token::new(text)
        } else {
            None
        };
        token.ok_or_else(|| {
            Wrong::new(
                "the value is not a token: write printable ASCII without spaces in quotes"
                    .to_owned(),
            )
        })
    }

    /// The value as TOML; when it is `hidden`, a map only with its names and a text not at all.
    pub(super) fn to_toml(&self, hidden: bool) -> String {
        match self {
            Self::Map(parts) => {
                let value = |it: &Self| {
                    if hidden {
                        quoted("...")
                    } else {
                        it.to_toml(hidden)
                    }
                };
                let entry =
                    |part: &Part| format!("{} = {}", quoted(&part.name), value(&part.value));
                format!(
                    "{{ {} }}",
                    parts.iter().map(entry).collect::<Vec<_>>().join(", ")
                )
            }
            Self::List(parts) => {
                let values: Vec<_> = parts
                    .iter()
                    .map(|part| part.value.to_toml(hidden))
                    .collect();
                format!("[{}]", values.join(", "))
            }
            Self::Text(_) if hidden => quoted("..."),
            Self::Text(text) => quoted(text),
            Self::Fraction(text) => text.clone(),
            Self::Integer(_) | Self::Other(_) | Self::Switch(_) => self.to_string(),
        }
    }

    fn is_not(&self, what: &str, how: &str) -> Wrong {
        Wrong::new(format!("{self} is not {what}: write {how}"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Where one is wrong, that it is one is what is wrong.
            Self::Fraction(_) => f.write_str("a fraction"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a table"),
            Self::Other(name) => f.write_str(name),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Longer limits are mistakes, and timers reckon with them.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
