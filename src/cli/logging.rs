//! The program's own log: for people on a terminal, JSON lines everywhere else. It goes to stderr.
//!
//! What came from outside is escaped, so that it can neither forge a line nor steer a terminal.

use std::fmt::{Debug, Write as _};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use tracing::field::Field;

use crate::config::{Log, LogFormat};

/// Starts the log. From here on a panic becomes a line of it, too.
pub(super) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().with_regex(false).parse(&log.level).context("log.level")?;
    let is_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Human => builder.with_ansi(is_terminal).fmt_fields(debug_fn(field).delimited(" ")).try_init(),
        LogFormat::Auto if is_terminal => builder.fmt_fields(debug_fn(field).delimited(" ")).try_init(),
        LogFormat::Auto | LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let text = escaped(&format!("{value:?}"));
    match field.name() {
        "message" => writer.write_str(&text),
        name => write!(writer, "{name}={text}"),
    }
}

/// Control characters and those that turn the direction of text, as `\u{..}`.
fn escaped(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%location, "panic: {}", fixed_words(info));
}

/// The words of a panic only where they are fixed in the program: formatted ones may hold a piece of the traffic.
fn fixed_words<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(words withheld)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_or_forges_a_line() {
        assert_eq!(escaped("a\u{1b}[2Jb\r\nINFO c\u{202e}d é"), r"a\u{1b}[2Jb\r\nINFO c\u{202e}d é");
    }
}
