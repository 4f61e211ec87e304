//! The program's own log: for people on a terminal, JSON lines everywhere else. It goes to stderr, or
//! to a file where that belongs to another program.
//! Diagnostic spans, where they are on, leave beside it and never stand in it.
//!
//! What came from outside is escaped, so that it can neither forge a line nor steer a terminal.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use anyhow::Context;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level, Metadata};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use super::log_limit::LogLimit;
use crate::config::{Log, LogFormat};
use crate::export::diagnostics::Diagnostics;
use crate::record::diagnostics::TARGET;
use crate::record::printable;

/// Starts the log, and the diagnostics if there are any. From here on a panic becomes a line of the
/// log, too. The program is to run under the limit that is returned.
pub(super) fn start(log: &Log, diagnostics: Option<&Diagnostics>) -> anyhow::Result<LogLimit> {
    start_with(log, io::stderr().is_terminal(), io::stderr, diagnostics)
}

/// The same in a file, where standard error is another program's.
pub(super) fn start_in_file(
    log: &Log,
    file: File,
    diagnostics: Option<&Diagnostics>,
) -> anyhow::Result<LogLimit> {
    start_with(log, false, file, diagnostics)
}

fn start_with<W>(
    log: &Log,
    is_terminal: bool,
    writer: W,
    diagnostics: Option<&Diagnostics>,
) -> anyhow::Result<LogLimit>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let limit = LogLimit::default();
    let dispatch = dispatch(log, is_terminal, writer, diagnostics, limit.clone())?;
    tracing::dispatcher::set_global_default(dispatch)
        .map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    panic::set_hook(Box::new(log_panic));
    Ok(limit)
}

fn dispatch<W>(
    log: &Log,
    is_terminal: bool,
    writer: W,
    diagnostics: Option<&Diagnostics>,
    limit: LogLimit,
) -> anyhow::Result<Dispatch>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let told = told(log, limit)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match log.format {
        LogFormat::Human => lines
            .with_ansi(is_terminal)
            .fmt_fields(debug_fn(field).delimited(" "))
            .boxed(),
        LogFormat::Auto if is_terminal => lines.fmt_fields(debug_fn(field).delimited(" ")).boxed(),
        LogFormat::Auto | LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Each with a filter of its own: neither sees what the other one asks for.
    let log = Registry::default().with(lines.with_filter(told));
    Ok(match diagnostics {
        Some(diagnostics) => Dispatch::new(log.with(diagnostics.layer())),
        None => Dispatch::new(log),
    })
}

/// What is asked for, as far as it may be told, and no more of one kind than the limit lets
/// through.
fn told(log: &Log, limit: LogLimit) -> anyhow::Result<impl Filter<Registry> + use<>> {
    let asked = EnvFilter::builder()
        .with_regex(false)
        .parse(&log.level)
        .context("log.level")?;
    // Without a hint of its own a filter would hide the first one's, by which most of what is off
    // is skipped.
    let asked = asked.and(filter_fn(may_be_told).with_max_level_hint(LevelFilter::TRACE));
    // Last: a line that is not told anyway is not counted.
    Ok(asked.and(limit))
}

/// Whatever the level: of others' code only warnings are told. HTTP and TLS libraries write heads
/// and keys into their traces.
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    let room = metadata.target().split("::").next().unwrap_or_default();
    let is_told = OWN_TARGETS.contains(&room) || *metadata.level() <= Level::WARN;
    is_told && metadata.target() != TARGET
}

/// This crate, and the agent's output, which `agent.log_output` asks for.
const OWN_TARGETS: [&str; 2] = [env!("CARGO_CRATE_NAME"), "agent"];

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let text = printable(&format!("{value:?}"));
    match field.name() {
        "message" => writer.write_str(&text),
        name => write!(writer, "{name}={text}"),
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%location, "panic: {}", fixed_words(info));
}

/// The words of a panic only where they are fixed in the program: formatted ones may hold a piece
/// of the traffic.
fn fixed_words<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload()
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(words withheld)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::otlp;

    /// What is told of the same events, with the diagnostics or without, times left out.
    fn lines(format: LogFormat, diagnostics: Option<&Diagnostics>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log {
            level: "trace".to_owned(),
            format,
        };
        let dispatch = dispatch(
            &log,
            false,
            std::fs::File::create(&path).unwrap(),
            diagnostics,
            LogLimit::default(),
        )
        .unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            let _door = tracing::info_span!(target: TARGET, "accept", canary = 1).entered();
            let _connection = tracing::info_span!("connection", host = "example.com").entered();
            let _step = tracing::info_span!(target: TARGET, "dial", canary = 2).entered();
            // Without diagnostics the span may exist all the same, seen by nobody: whether it does
            // depends on the subscribers of tests that run at the same time.
            let current = tracing::Span::current();
            let target = current.metadata().map(|of| of.target());
            assert!(
                diagnostics.is_none() || target == Some(TARGET),
                "{target:?}"
            );
            tracing::info!(target: TARGET, "canary");
            tracing::info!("ours");
        });
        let lines = std::fs::read_to_string(path).unwrap();
        let timeless = |line: &str| {
            line.split_once("Z")
                .map(|(_, rest)| rest.to_owned())
                .unwrap()
        };
        lines.lines().map(timeless).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn diagnostics_change_nothing_in_the_log() {
        let config = otlp::Config {
            endpoint: otlp::Endpoint::parse("http://127.0.0.1:1"),
            diagnostics: true,
            ..otlp::Config::default()
        };
        for format in [LogFormat::Human, LogFormat::Json] {
            let on = Diagnostics::new(&config).unwrap();
            let (with, without) = (lines(format, Some(&on)), lines(format, None));
            assert_eq!(with, without);
            assert!(
                with.contains("ours") && with.contains("connection") && !with.contains("canary"),
                "{with}"
            );
            assert!(!with.contains("dial") && !with.contains("accept"), "{with}");
        }
    }

    #[test]
    fn what_is_off_is_skipped_by_its_level() {
        let log = Log {
            level: "warn".to_owned(),
            format: LogFormat::Json,
        };
        assert_eq!(
            told(&log, LogLimit::default()).unwrap().max_level_hint(),
            Some(LevelFilter::WARN)
        );
    }

    #[test]
    fn the_traces_of_libraries_are_never_told() {
        for level in [
            "trace",
            "h2=trace,hyper=trace,gravimeter=trace,agent=info",
            "info,rustls=debug",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let log = Log {
                level: level.to_owned(),
                format: LogFormat::Json,
            };
            let dispatch = dispatch(
                &log,
                false,
                std::fs::File::create(&path).unwrap(),
                None,
                LogLimit::default(),
            )
            .unwrap();
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
                told.contains("ours")
                    && told.contains("the agent's own")
                    && told.contains("a warning"),
                "{level}: {told}"
            );
        }
    }
}
