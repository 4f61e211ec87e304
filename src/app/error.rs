//! Why the house cannot start, or had to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::capture::redirect::RedirectError;
use crate::launch::LaunchError;
use crate::tls::authority::AuthorityError;
use crate::tls::bundle::BundleError;
use crate::tls::collector::CollectorError;
use crate::tls::leaf::LeafError;
use crate::tls::upstream::UpstreamError;

/// Why the house cannot start, or had to end. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent cannot be started or does not stay up.
    #[error(transparent)]
    Agent(#[from] LaunchError),
    /// The CA cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} ({key}): {source}; is another gravimeter running? Otherwise choose another port"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The key that names it.
        key: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The agent's bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The agent's user cannot reach its bundle.
    #[error(
        "{bundle} cannot be read by {user}, because {folder} is closed to other users: set state.dir to /var/lib/gravimeter \
         (`gravimeter redirect install` makes it), or agent.ca_bundle to a place that {user} can read"
    )]
    ClosedBundle {
        /// The bundle.
        bundle: PathBuf,
        /// The folder on the way to it.
        folder: PathBuf,
        /// The agent's user.
        user: String,
    },
    /// TLS with the collector of spans cannot be set up.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The demo's stand-ins failed.
    #[error("the demo: {0}")]
    Demo(String),
    /// Leaf certificates cannot be made.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// Too few files may be open.
    #[error("at most {limit} files may be open, {minimum} are needed: raise the limit (ulimit -Hn, LimitNOFILE=)")]
    OpenFiles {
        /// The hard limit.
        limit: u64,
        /// What is needed.
        minimum: u64,
    },
    /// The redirect rules cannot be put in place or read.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The house itself runs as the user whose traffic is redirected: its own connections would come back to it.
    #[error(
        "gravimeter runs as {user} (uid {uid}), whose traffic is redirected to it: its own connections would come back to it for ever; \
         run it as another user, or set capture.user"
    )]
    SameUser {
        /// The redirected user.
        user: String,
        /// Its uid, which is ours.
        uid: u32,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// The state folder cannot be used.
    #[error("{path}: {source}; set state.dir to a folder that can be written")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Roots for the verification of providers cannot be loaded.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The exporter's listener failed.
    #[error("the exporter ended: {0}")]
    Web(#[source] io::Error),
}
