//! Why Gravimeter cannot start, or had to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::capture::Obstacle;
use crate::capture::redirect::RedirectError;
use crate::launch::foreground::FollowError;
use crate::launch::{AccountError, LaunchError};
use crate::tls::authority::AuthorityError;
use crate::tls::bundle::BundleError;
use crate::tls::collector::CollectorError;
use crate::tls::leaf::LeafError;
use crate::tls::upstream::UpstreamError;
use crate::web::access::AccessError;
use crate::web::{Exposed, SocketError};

/// Why Gravimeter cannot start, or had to end. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The web configuration file cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A socket that was handed over is not of the right sort.
    #[error(
        "socket {number} ({name:?}) of the service manager: {source}; look into the .socket unit"
    )]
    Activation {
        /// Its place, from 0.
        number: usize,
        /// What it is called.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The agent cannot be started or does not stay up.
    #[error(transparent)]
    Agent(#[from] LaunchError),
    /// The CA cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} ({key}): {source}; {}",
        bind_remedy(source)
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
    /// The program cannot be captured by a cgroup.
    #[error("no cgroup can be used: {0}; or use --scope proxy")]
    Cgroup(#[source] Obstacle),
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
    /// A user whom the CONNECT proxy shall serve cannot be found.
    #[error("capture.connect_users: {source}; name users of this machine, or their uids")]
    ConnectUser {
        /// Why.
        source: AccountError,
    },
    /// The demo's stand-ins failed.
    #[error("the demo: {0}")]
    Demo(String),
    /// The exporter's address can be reached by other machines.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// A socket that was handed over cannot be used.
    #[error("a socket of the service manager cannot be used: {0}; look into the .socket unit")]
    Handed(#[source] io::Error),
    /// Leaf certificates cannot be made.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// No namespace can be made for the program.
    #[error("no namespace can be made: {0}; or use --scope proxy")]
    Namespace(#[source] Obstacle),
    /// Too few files may be open.
    #[error(
        "at most {limit} files may be open, {minimum} are needed: raise the limit (ulimit -Hn, LimitNOFILE=)"
    )]
    OpenFiles {
        /// The hard limit.
        limit: u64,
        /// What is needed.
        minimum: u64,
    },
    /// The path of our own executable is not known.
    #[error("the path of the running program is not known: {0}")]
    OwnProgram(#[source] io::Error),
    /// The program's name has no character that can be shown.
    #[error("the program has no name that can be shown: call it by a path with one")]
    ProgramName,
    /// The program is led to another proxy already, which ours cannot go through.
    #[error(
        "{variable} leads to another proxy, and gravimeter cannot go through it: unset {variable}, or use --scope namespace, \
         where connections through that proxy pass unread"
    )]
    ProxyInUse {
        /// The variable that names it.
        variable: &'static str,
    },
    /// The redirect rules cannot be put in place or read.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// Gravimeter itself runs as the user whose traffic is redirected: its own connections would
    /// come back to it.
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
    /// The group that may hand sessions over cannot be given the socket.
    #[error(
        "sessions.group: {group}: {source}; name a group of this machine that gravimeter's user is in"
    )]
    SessionGroup {
        /// The group.
        group: String,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// The exporter's Unix socket cannot be listened on.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The program cannot be started.
    #[error("the program cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The program in the foreground cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The state folder cannot be used.
    #[error("{path}: {source}; set state.dir to a folder that can be written")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The redirect rules lead to another port than that of the socket that was handed over for
    /// them.
    #[error(
        "the socket 'redirect' of the service manager is {address}, but the rules lead to port {port}: use that one in both"
    )]
    Stray {
        /// The socket's address.
        address: SocketAddr,
        /// The port of `capture.listen`.
        port: u16,
    },
    /// The program cannot be captured by its user.
    #[error("the program cannot run as another user: {0}")]
    User(#[source] Obstacle),
    /// Roots for the verification of providers cannot be loaded.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

fn bind_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "is another gravimeter running? Otherwise choose another port",
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: choose one of its own"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root: choose a higher one",
        _ => "choose another address",
    }
}
