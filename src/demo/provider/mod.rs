//! The stand-in provider: Cloud Code, the public Gemini API, Anthropic and Codex's side of ChatGPT on
//! one TLS socket, HTTP/1.1 and HTTP/2.
//!
//! What enters: requests. What leaves: streams whose every byte follows from the seed and the
//! request, and a [`Tally`] of what was really served. Never reads a credential, never remembers a
//! prompt.
//!
//! A request may prescribe its answer in the last user text, see [`ProviderOptions`].

mod answer;
mod anthropic;
mod counted;
mod plan;
mod responses;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pieces::Pieces;
use super::pki::Identity;
use super::server::{Tasks, serve};
use super::tally::Tally;
use super::{ANTHROPIC_HOST, CHATGPT_HOST};

pub use super::pki::PkiError;

/// How the provider answers. What is left to chance follows from the seed and
/// `request.labels.request_id`; where there is none from `request.generationConfig.seed`, or else
/// from the whole body.
///
/// A request overrules this for itself by ending its last user text with a directive, any subset of
/// `demo: prompt=16 cached=4 thoughts=42 output=3 tool=0 events=5 zeros=1 late=1 sparse=1 gzip=1
/// hold=3 refuse=rate`:
/// - `prompt` (including `cached`), `thoughts`, `output`, `tool`: the token counts of the last
///   usage report.
/// - `events`: events with content, at least 2 when there are both thoughts and output; `zeros`:
///   events before them whose usage is all zeros.
/// - `late`: the usage comes in an event of its own after the finish reason; `sparse`: no usage
///   before the finish reason.
/// - `gzip`: the content coding, if the request accepts it.
/// - `hold`: after so many events the stream stays open until the client leaves.
/// - `refuse`: status 429, as `quota`, `rate` or `bare` (without details).
///
/// A request with a directive is never refused or varied by chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderOptions {
    /// Everything random follows from it.
    pub seed: u64,
    /// Content events of a stream, 1 to this many.
    pub max_events: u32,
    /// Milliseconds between two events of a stream.
    pub pause_ms: u64,
    /// Milliseconds from the head of a stream to its first event: the fewest, and the most.
    pub first_chunk_ms: [u64; 2],
    /// Of 100 generations, how many are refused with 429.
    pub refused_percent: u8,
    /// Of 100 streams, how many are gzip-coded if the request accepts it.
    pub gzip_percent: u8,
    /// Whether ALPN `h2` is offered besides `http/1.1`.
    pub http2: bool,
    /// Whether a body that does not have the hash that its agent announces is refused. It has another
    /// where a rule has changed it.
    pub checks_hashes: bool,
    /// The names in the certificate.
    pub hosts: Vec<String>,
    /// Where to serve `GET /truth` as JSON over plain HTTP, for a provider that runs as a process
    /// of its own.
    pub control: Option<SocketAddr>,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            max_events: 12,
            pause_ms: 0,
            first_chunk_ms: [0, 0],
            refused_percent: 5,
            gzip_percent: 25,
            http2: true,
            checks_hashes: true,
            hosts: DEFAULT_HOSTS.map(str::to_owned).to_vec(),
            control: None,
        }
    }
}

/// A running provider. Dropping it changes nothing: the shutdown token ends it.
#[derive(Debug)]
pub struct Provider {
    /// Where it listens for TLS.
    pub addr: SocketAddr,
    /// Where it serves the truth over plain HTTP, when asked to.
    pub control: Option<SocketAddr>,
    root_pem: String,
    tally: SharedTally,
}

/// The provider could not start.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A socket could not be opened.
    #[error("the demo provider cannot listen on {addr}: {source}; choose a free port")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

impl Provider {
    /// Listens on `listen` (port 0 for any) and serves in tasks of `tracker` until `shutdown`.
    ///
    /// # Errors
    /// When a socket cannot be opened or a host is no name for a certificate.
    pub async fn start(
        options: ProviderOptions,
        listen: SocketAddr,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, ProviderError> {
        let tasks = Tasks {
            tracker: tracker.clone(),
            shutdown: shutdown.clone(),
        };
        let alpn: &[&str] = if options.http2 {
            &["h2", "http/1.1"]
        } else {
            &["http/1.1"]
        };
        let identity = Identity::issue(&options.hosts, alpn)?;
        let (listener, addr) = bind(listen).await?;
        let control = match options.control {
            None => None,
            Some(wanted) => Some(bind(wanted).await?),
        };

        let tally = SharedTally::default();
        let script = Arc::new(answer::Script {
            options,
            tally: tally.clone(),
            tasks: tasks.clone(),
        });
        serve(
            listener,
            Some(identity.config),
            move |request| answer::answer(Arc::clone(&script), request),
            &tasks,
        );
        let control = control.map(|(listener, addr)| {
            let tally = tally.clone();
            serve(
                listener,
                None,
                move |request| truth(tally.clone(), request),
                &tasks,
            );
            addr
        });
        Ok(Self {
            addr,
            control,
            root_pem: identity.root_pem,
            tally,
        })
    }

    /// The root certificate that a client must trust.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// What was served so far. A call is in it before its last byte leaves; an aborted one once its
    /// end was noticed.
    #[must_use]
    pub fn truth(&self) -> Tally {
        self.tally.read()
    }

    /// Waits until the truth is as `expected`, for what is booked later than the client knows of
    /// it: its own aborts.
    pub async fn truth_when(&self, expected: impl FnMut(&Tally) -> bool) -> Tally {
        let mut watching = self.tally.0.subscribe();
        // The tally holds the sender as long as `self` lives.
        watching
            .wait_for(expected)
            .await
            .map_or_else(|_| self.truth(), |tally| tally.clone())
    }
}

/// The tally, shared by all connections; a watch, so that tests can wait for what they expect.
#[derive(Debug, Clone, Default)]
struct SharedTally(watch::Sender<Tally>);

impl SharedTally {
    fn update(&self, entry: impl FnOnce(&mut Tally)) {
        self.0.send_modify(entry);
    }

    fn read(&self) -> Tally {
        self.0.borrow().clone()
    }
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), ProviderError> {
    let failed = |source| ProviderError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

async fn truth(tally: SharedTally, request: Request<Incoming>) -> Response<Pieces> {
    let (status, body) = match request.uri().path() {
        "/truth" => (
            StatusCode::OK,
            serde_json::to_vec(&tally.read()).unwrap_or_default(),
        ),
        _ => (StatusCode::NOT_FOUND, Vec::new()),
    };
    let mut response = Response::new(Pieces::complete(body));
    *response.status_mut() = status;
    response
}

/// The hosts that the language server calls, the public Gemini API, and those of Claude Code and
/// Codex.
const DEFAULT_HOSTS: [&str; 9] = [
    "daily-cloudcode-pa.googleapis.com",
    "cloudcode-pa.googleapis.com",
    "daily-cloudcode-pa.sandbox.googleapis.com",
    "autopush-cloudcode-pa.sandbox.googleapis.com",
    "autopush-cloudcode-pa.googleapis.com",
    "staging-cloudcode-pa.googleapis.com",
    "generativelanguage.googleapis.com",
    ANTHROPIC_HOST,
    CHATGPT_HOST,
];

#[cfg(test)]
mod tests;
