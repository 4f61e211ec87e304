//! The stand-in language server: it starts, calls its provider and checks every byte of the
//! answers.
//!
//! Input: metadata on stdin up to its end, [`AgentOptions`], answers, and requests of clients of
//! its own ports. Output: port announcements on stderr, requests, answers and streams of its RPC
//! server ([`StandIn`]), and one line of JSON on stdout. Trusts only the bundle it is given; never
//! prints a header or a prompt.

mod announce;
mod app;
mod call;
mod cascade;
mod coder;
mod context;
mod conversation;
mod dial;
mod fetch;
mod options;
mod prompt;
mod provider_client;
mod reply;
mod rpc;
mod run;
mod socket;
mod stand_in;

pub use app::{AppOptions, AppOutcome, run_app};
pub use cascade::{CallEnd, CallEntry, Log, RunEnd, RunEntry};
pub use coder::AgentKind;
pub use fetch::{FetchError, fetch_log};
pub use options::{AgentOptions, OfferedStreams, Protocol};
pub use stand_in::{StandIn, start};

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pki::PkiError;
use super::server::Tasks;
use super::tally::Tally;
use cascade::Store;
use coder::Coder;
use conversation::Conversation;
use dial::Dialer;

/// The result of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was received; equal to the provider's truth when nothing was lost or changed on the
    /// way.
    pub tally: Tally,
    /// Calls that failed: no connection, a broken stream, a status that was not expected.
    pub broken: u64,
    /// Calls that a refusal made necessary.
    pub retries: u64,
    /// Connections opened.
    pub connections: u64,
    /// The first few reasons for `broken` and `tally.corrupt`.
    pub failures: Vec<String>,
    /// What happened in which conversation. Without losses, the sums over its runs are those of
    /// `tally`, `countTokens` aside.
    #[serde(default)]
    pub log: Log,
}

/// The agent could not start or report.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The bundle cannot be read or holds no usable root.
    #[error(
        "cannot read roots from {path}: {reason}; the bundle must be a PEM file that this user may read"
    )]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The provider's name is not a host name.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// A local port, stdin, stdout, stderr or the signal handler failed.
    #[error("the demo agent cannot use its own process: {0}")]
    Process(#[from] io::Error),
    /// No certificate for its own HTTPS port.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The TLS library refuses the configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Outcome {
    /// Whether everything arrived complete and unchanged: the condition for exit code 0.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.broken == 0 && self.tally.corrupt == 0
    }

    fn corrupt(&mut self, why: String) {
        self.tally.corrupt += 1;
        self.note(why);
    }

    fn fail(&mut self, why: String) {
        self.broken += 1;
        self.note(why);
    }

    fn note(&mut self, why: String) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(why);
        }
    }

    fn add(&mut self, other: Self) {
        self.tally += &other.tally;
        self.broken += other.broken;
        self.retries += other.retries;
        self.connections += other.connections;
        other.failures.into_iter().for_each(|why| self.note(why));
    }
}

/// Runs as a process: reads stdin to its end, announces its ports on stderr, talks until its rounds
/// are done or SIGTERM comes (until SIGTERM if it stays), and writes the [`Outcome`] as one line of JSON to stdout. The caller
/// turns [`Outcome::is_clean`] into an exit code.
///
/// # Errors
/// When it cannot start, or cannot write its report.
pub async fn run(options: AgentOptions) -> Result<Outcome, AgentError> {
    // The real one does nothing before the end of its metadata either. SIGTERM still ends the
    // process by default.
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let tracker = TaskTracker::new();
    let shutdown = CancellationToken::new();
    let stand_in = start(&options, &tracker, &shutdown).await?;
    announce::announce(&mut io::stderr(), &stand_in)?;
    let stop = shutdown.clone();
    tracker.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => stop.cancel(),
            () = stop.cancelled() => {}
        }
    });
    let stays = options.stays;
    let outcome = stand_in.converse(options).await?;
    if stays {
        shutdown.cancelled().await;
    }
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
    writeln!(
        io::stdout(),
        "{}",
        serde_json::to_string(&outcome).map_err(io::Error::from)?
    )?;
    Ok(outcome)
}

/// Runs all conversations, in tasks of `tracker`, until they are done or `shutdown`. They cannot be
/// followed: for that there is [`StandIn::converse`].
///
/// # Errors
/// When the bundle or the host is unusable. What goes wrong on the way is part of the [`Outcome`].
pub async fn converse(
    options: AgentOptions,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Outcome, AgentError> {
    hold(options, Arc::default(), tracker, shutdown).await
}

/// Runs all conversations and keeps their states in `store`.
async fn hold(
    options: AgentOptions,
    store: Arc<Store>,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Outcome, AgentError> {
    // Connections outlive the conversations: if one token ended both, a race would look like a
    // broken stream.
    let lines = CancellationToken::new();
    let _hung_up = lines.clone().drop_guard();
    let tasks = Tasks {
        tracker: tracker.clone(),
        shutdown: lines,
    };
    let http1 = Arc::new(Dialer::new(&options, &[], &tasks)?);
    let http2 = Arc::new(Dialer::new(&options, &["h2", "http/1.1"], &tasks)?);
    let options = Arc::new(options);
    let mut running = Vec::new();
    for kind in &options.agents {
        let Some(host) = kind.host() else { continue };
        let own = AgentOptions {
            host: host.to_owned(),
            ..AgentOptions::clone(&options)
        };
        let dialer = Arc::new(Dialer::new(&own, kind.alpn(), &tasks)?);
        for number in 0..CODERS_OF_A_KIND {
            let (options, dialer, store) = (
                Arc::clone(&options),
                Arc::clone(&dialer),
                Arc::clone(&store),
            );
            let coder = Coder::new(*kind, options, number, dialer, store, shutdown.clone());
            running.push(tracker.spawn(coder.run()));
        }
    }
    let users = if options.agents.contains(&AgentKind::Antigravity) {
        options.conversations
    } else {
        0
    };
    for number in 0..users {
        let dialer = match options.protocol {
            Protocol::Http1 => &http1,
            Protocol::Http2 => &http2,
            Protocol::Mixed if number % 2 == 0 => &http1,
            Protocol::Mixed => &http2,
        };
        let (options, dialer, store) =
            (Arc::clone(&options), Arc::clone(dialer), Arc::clone(&store));
        let conversation = Conversation::new(options, number, dialer, store, shutdown.clone());
        running.push(tracker.spawn(conversation.run()));
    }
    let mut outcome = Outcome::default();
    for conversation in running {
        match conversation.await {
            Ok(part) => outcome.add(part),
            Err(_) => outcome.fail("a conversation panicked".to_owned()),
        }
    }
    outcome.log = store.log();
    Ok(outcome)
}

/// Users of each coding agent.
const CODERS_OF_A_KIND: u32 = 2;

/// Failures that are explained: a session that fails a thousand times explains itself in a few
/// lines.
const MAX_FAILURES: usize = 10;

#[cfg(test)]
mod tests;
