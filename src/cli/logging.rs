//! The program's own log: for people on a terminal, JSON lines everywhere else. It goes to stderr.
//!
//! What came from outside is escaped, so that it can neither forge a line nor steer a terminal.

use std::fmt::Debug;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use anyhow::Context;
use tracing::field::Field;
use tracing::{Dispatch, Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::{Log, LogFormat};

/// Starts the log. From here on a panic becomes a line of it, too.
pub(super) fn start(log: &Log) -> anyhow::Result<()> {
    let dispatch = dispatch(log, io::stderr().is_terminal(), io::stderr)?;
    tracing::dispatcher::set_global_default(dispatch)
        .map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn dispatch<W>(log: &Log, is_terminal: bool, writer: W) -> anyhow::Result<Dispatch>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().with_regex(false).parse(&log.level).context("log.level")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let cap = filter_fn(may_be_told);
    Ok(match log.format {
        LogFormat::Human => {
            Dispatch::new(builder.with_ansi(is_terminal).fmt_fields(debug_fn(field).delimited(" ")).finish().with(cap))
        }
        LogFormat::Auto if is_terminal => {
            Dispatch::new(builder.fmt_fields(debug_fn(field).delimited(" ")).finish().with(cap))
        }
        LogFormat::Auto | LogFormat::Json => Dispatch::new(builder.json().flatten_event(true).finish().with(cap)),
    })
}

/// Whatever the level: of others' code only warnings are told. HTTP and TLS libraries write heads and keys into their traces.
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    let room = metadata.target().split("::").next().unwrap_or_default();
    OWN_TARGETS.contains(&room) || *metadata.level() <= Level::WARN
}

/// This crate, and the agent's output, which `agent.log_output` asks for.
const OWN_TARGETS: [&str; 2] = [env!("CARGO_CRATE_NAME"), "agent"];

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

    #[test]
    fn the_traces_of_libraries_are_never_told() {
        for level in ["trace", "h2=trace,hyper=trace,gravimeter=trace,agent=info", "info,rustls=debug"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let log = Log { level: level.to_owned(), format: LogFormat::Json };
            let dispatch = dispatch(&log, false, std::fs::File::create(&path).unwrap()).unwrap();
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::info!("ours");
                tracing::info!(target: "agent", "the agent's own");
                tracing::trace!(target: "h2::codec", "canary");
                tracing::debug!(target: "hyper", "canary");
                tracing::info!(target: "rustls::client", "canary");
                tracing::info!(target: "gravimeters", "canary");
                tracing::warn!(target: "h2", "a warning");
            });
            let told = std::fs::read_to_string(path).unwrap();
            assert!(!told.contains("canary"), "{level}: {told}");
            assert!(
                told.contains("ours") && told.contains("the agent's own") && told.contains("a warning"),
                "{level}: {told}"
            );
        }
    }
}
