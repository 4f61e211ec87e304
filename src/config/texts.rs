//! The table of keys as texts for people: the example file and the reference page. Both are kept in
//! the repository and compared with what is written here.

use std::fmt::{self, Write};

use super::keys::{DefaultValue, Key, Kind, keys};

/// A configuration file with every key, each behind a `#` with its default.
#[must_use]
pub(crate) fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    let mut section = "";
    for key in keys() {
        if key.section() != section {
            section = key.section();
            if !section.is_empty() {
                text.push_str(&format!("\n[{section}]\n"));
            }
        }
        text.push_str(&example_entry(key));
    }
    text
}

/// The reference page, in Markdown.
#[must_use]
pub(crate) fn reference() -> String {
    let mut page = REFERENCE_HEAD.to_owned();
    // Writing to a String cannot fail.
    let _ = sections(&mut page);
    page
}

fn example_entry(key: &Key) -> String {
    let (value, note) = match key.default {
        DefaultValue::Unset { example, means } => (example, format!("Without it: {means}.")),
        default => (default.toml().unwrap_or_default(), String::new()),
    };
    let words = key
        .help
        .lines()
        .chain((!note.is_empty()).then_some(note.as_str()));
    let assignment = match key.kind {
        Kind::Tables => value.to_owned(),
        _ => format!("{} = {value}", key.leaf()),
    };
    let words: String = words.map(|line| format!("# {line}\n")).collect();
    let assignment: String = assignment
        .lines()
        .map(|line| format!("#{line}\n"))
        .collect();
    format!("\n{words}{assignment}")
}

fn sections(page: &mut String) -> fmt::Result {
    let mut section = "";
    for key in keys() {
        if key.section() != section {
            section = key.section();
            if !section.is_empty() {
                write!(page, "\n## [{section}]\n")?;
            }
        }
        entry(page, key)?;
    }
    Ok(())
}

fn entry(page: &mut String, key: &Key) -> fmt::Result {
    match key.kind {
        Kind::Tables => write!(page, "\n## [[{}]]\n\n{}\n\n", key.name, key.help)?,
        _ => write!(page, "\n### `{}`\n\n{}\n\n", key.name, key.help)?,
    }
    writeln!(page, "- takes: {}", takes(key.kind))?;
    let default = key.default.toml().unwrap_or_default();
    match key.default {
        DefaultValue::InterceptedHosts | DefaultValue::Is(_) if default.contains('\n') => {
            write!(page, "- default:\n\n{}\n", fenced(default))?;
        }
        DefaultValue::InterceptedHosts | DefaultValue::Is(_) => {
            writeln!(page, "- default: `{default}`")?
        }
        DefaultValue::Unset { example, means } => {
            writeln!(page, "- default: not set: {means}")?;
            match key.kind {
                Kind::Tables => write!(page, "- example:\n\n{}\n", fenced(example))?,
                _ => writeln!(page, "- example: `{example}`")?,
            }
        }
    }
    writeln!(page, "- also: `{}`, `--{}`", key.variable(), key.name)
}

/// TOML as a block within a list.
fn fenced(toml: &str) -> String {
    let indented: String = toml.lines().map(|line| format!("  {line}\n")).collect();
    format!("  ```toml\n{indented}  ```\n")
}

fn takes(kind: Kind) -> String {
    match kind {
        Kind::Address => "an IP address with its port".to_owned(),
        Kind::AddressOrOff => "an IP address with its port, or `\"off\"`".to_owned(),
        Kind::AddressAutoOrOff => "an IP address with its port, `\"auto\"` or `\"off\"`".to_owned(),
        Kind::Choice(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::Fraction => "a number from 0 to 1".to_owned(),
        Kind::Duration => {
            "a time with its unit: `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h30m\"`".to_owned()
        }
        Kind::Environment => "a table of names and values: `{ NAME = \"value\" }`".to_owned(),
        Kind::List(element) => format!("a list; each element is {}", element_words(element)),
        Kind::Number => "a whole number".to_owned(),
        Kind::Path => "a path from the root".to_owned(),
        Kind::PathBeside => {
            "a path from the root or, in the file, from the folder of that file".to_owned()
        }
        Kind::Resolve => {
            "a table of addresses: `{ \"api.example.com:443\" = \"127.0.0.1:8443\" }`".to_owned()
        }
        Kind::Secret => "a text that is never shown again".to_owned(),
        Kind::SecretTable => {
            "a table of names and values: `{ name = \"value\" }`; the values are never shown again"
                .to_owned()
        }
        Kind::Table => "a table of names and texts: `{ \"name\" = \"value\" }`".to_owned(),
        Kind::Tables => {
            "any number of tables; as a flag or variable in TOML: `[{ name = \"...\", ... }]`"
                .to_owned()
        }
        Kind::Url => "a URL without credentials and query".to_owned(),
        Kind::Switch => "`true` or `false`".to_owned(),
        Kind::Text => "a text".to_owned(),
    }
}

fn element_words(element: &str) -> &str {
    match element {
        "arg" => "one argument",
        "host" => "a host",
        "ip:port" => "an IP address with its port",
        "path" => "a path from the root",
        "user" => "the name of a user or a uid",
        other => other,
    }
}

const EXAMPLE_HEAD: &str = "\
# Configuration of Gravimeter: every key, with its default.
#
# Save it as /etc/gravimeter/gravimeter.toml or ~/.config/gravimeter/gravimeter.toml, remove the # before the keys that
# you change, and try it with `gravimeter config check`.
#
# Each key is also an environment variable (web.listen: GRAVIMETER_WEB_LISTEN) and a flag (--web.listen).
# Flags win over variables, variables over this file, this file over OpenTelemetry's own variables.
";

/// The head of the reference page; how values are written outside the file is said once, here.
const REFERENCE_HEAD: &str = "\
# Configuration

<!-- Written by `gravimeter config reference`; a test compares the two. -->

Gravimeter runs without any configuration. What is set comes from, the first winning:

1. flags: `--web.listen 127.0.0.1:9000`
2. environment variables: `GRAVIMETER_WEB_LISTEN=127.0.0.1:9000`
3. one file: the one named by `--config` or `GRAVIMETER_CONFIG`, or else the first that exists of
   `/etc/gravimeter/gravimeter.toml` and `$XDG_CONFIG_HOME/gravimeter/gravimeter.toml` (usually `~/.config/...`)
4. for the section `[otlp]`, the variables of the OpenTelemetry specification (`OTEL_EXPORTER_OTLP_ENDPOINT` and the like, each
   named with its key)
5. the defaults below

A value replaces the one it wins over as a whole, lists and tables included.

In flags and variables a list is written with commas (`--intercept.hosts a.example.com,b.example.com`), a table as
`name=value` with commas; a flag may also be repeated. An element that holds a comma needs the TOML form:
`--agent.args '[\"--mode=a,b\"]'`. A key that is `true` or `false` needs no value as a flag: `--metrics.genai`.

Unknown keys, unknown `GRAVIMETER_*` variables and bad values are refused, all at once, each with its place and what to
write instead; the exit code is then 2. `gravimeter config check` tries a configuration without starting anything, and
with `--explain` says where each value came from. [`gravimeter.example.toml`](../gravimeter.example.toml) holds every
key.
";
