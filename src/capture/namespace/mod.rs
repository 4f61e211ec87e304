//! A network namespace of a program's own: what the program sends to port 443 arrives at a listener
//! of ours, everything else goes out through pasta or through us.
//!
//! pasta (<https://passt.top>) makes a user and a network namespace and carries their traffic in
//! user space; where it cannot be used, unshare makes them and this process carries a part of it
//! ([`Carrier`]). In them runs our own executable ([`inside`]), which redirects TCP port 443,
//! rejects UDP port 443 (QUIC), and hands the listening sockets out over a Unix socket. We accept
//! from them here, in the machine's own namespace, from which providers are dialled as always: no
//! connection of ours can come back to us. The program itself is started by [`enter`], under its
//! own uid. Root needs no user namespace, and gets none.
//!
//! Nothing has to be removed: the namespaces end with the last process in them, and pasta with
//! `inside`, which ends when our end of the Unix socket is closed, by whatever end of this process.

mod carrier;
pub mod enter;
mod feed;
mod holder;
pub mod inside;
mod isolated;
pub mod loopback;
mod obstacle;
mod rules;

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::obstacle::is_installed;
use super::{Obstacle, receive_descriptors, send_descriptors};

pub use carrier::{Carrier, Forwarded};
pub use loopback::LoopbackDialer;
pub use obstacle::obstacles;

use holder::Holder;

/// A namespace that is ready for programs. Dropping it ends pasta; programs that are still inside
/// keep their network namespace, but reach nothing any more.
#[derive(Debug)]
pub struct Namespace {
    carrier: Carrier,
    user: OwnedFd,
    network: OwnedFd,
    listeners: Vec<TcpListener>,
    forwarded: Option<Forwarded>,
    /// Closing it ends [`inside`]. `None` only while it is dropped.
    lease: Option<UnixStream>,
    holder: Holder,
}

impl Namespace {
    /// Makes a namespace in which connections to port 443 arrive at listeners on `listen`, which are
    /// addresses of the namespace. `program` is our own executable, and `path` where programs are
    /// searched. Blocks for about a tenth of a second, at most for ten seconds.
    ///
    /// # Errors
    /// What stands in the way on this machine, with the remedy.
    pub fn open(
        carrier: Carrier,
        program: &Path,
        listen: &[SocketAddr],
        path: &OsStr,
    ) -> Result<Self, Obstacle> {
        let (ours, theirs) = UnixStream::pair().map_err(Obstacle::of_system)?;
        let path = with_system_folders(path);
        if !rustix::process::geteuid().is_root() && !is_installed(SETS_UID_BACK, &path) {
            return Err(Obstacle::missing(SETS_UID_BACK));
        }
        let mut holder = Holder::start(carrier.command(program, listen), &path, theirs)?;
        match receive(&ours, &holder, carrier) {
            Ok(Parts {
                user,
                network,
                listeners,
                forwarded,
            }) => Ok(Self {
                carrier,
                user,
                network,
                listeners,
                forwarded,
                lease: Some(ours),
                holder,
            }),
            Err(error) => {
                drop(ours);
                holder.end();
                Err(obstacle::of_failure(
                    carrier,
                    &error,
                    &holder.words(),
                    &path,
                ))
            }
        }
    }

    /// Who carries what is not intercepted.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// The listening sockets at which redirected connections arrive. They can be taken once.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// The sockets at which everything else arrives that [`Carrier::Own`] carries. They can be taken
    /// once; `None` where pasta carries it.
    pub fn take_forwarded(&mut self) -> Option<Forwarded> {
        self.forwarded.take()
    }

    /// Whether pasta has ended: programs inside then reach nothing any more.
    #[must_use]
    pub fn has_lost_network(&self) -> bool {
        self.carrier == Carrier::Pasta && self.holder.has_ended()
    }

    /// Starts `command` (our own executable, whose arguments make it call [`enter::enter`]) and
    /// hands it the namespaces and the standard input that the program shall have.
    ///
    /// # Errors
    /// The operating system's.
    pub fn spawn(&self, command: &mut Command, stdin: impl std::os::fd::AsFd) -> io::Result<Child> {
        spawn_inside(&self.user, &self.network, command, stdin)
    }

    /// Opens connections to what listens on loopback inside. `program` is our own executable, and
    /// `path` where programs are searched.
    ///
    /// # Errors
    /// The operating system's.
    pub fn loopback(&self, program: &Path, path: &OsStr) -> io::Result<LoopbackDialer> {
        let (user, network) = (self.user.try_clone()?, self.network.try_clone()?);
        let path = with_system_folders(path);
        Ok(LoopbackDialer::new(user, network, program.to_owned(), path))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.lease.take());
        self.holder.end();
    }
}

fn spawn_inside(
    user: &OwnedFd,
    network: &OwnedFd,
    command: &mut Command,
    stdin: impl std::os::fd::AsFd,
) -> io::Result<Child> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = command.stdin(OwnedFd::from(theirs)).spawn()?;
    send_descriptors(&ours, &[stdin.as_fd(), user.as_fd(), network.as_fd()])?;
    Ok(child)
}

/// What [`inside`] hands out, in its order.
struct Parts {
    user: OwnedFd,
    network: OwnedFd,
    listeners: Vec<TcpListener>,
    forwarded: Option<Forwarded>,
}

/// Waits for what [`inside`] hands out, no longer than the holder runs.
fn receive(socket: &UnixStream, holder: &Holder, carrier: Carrier) -> io::Result<Parts> {
    socket.set_read_timeout(Some(LOOK_AGAIN))?;
    let mut received = wait_for_descriptors(socket, holder)?.into_iter();
    let (Some(user), Some(network)) = (received.next(), received.next()) else {
        return Err(ErrorKind::UnexpectedEof.into());
    };
    let listeners: Vec<_> = received.map(TcpListener::from).collect();
    if listeners.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let forwarded = match carrier {
        Carrier::Pasta => None,
        Carrier::Own => {
            let tcp = wait_for_descriptors(socket, holder)?.into_iter();
            let questions = wait_for_descriptors(socket, holder)?.into_iter();
            Some(Forwarded {
                tcp: tcp.map(TcpListener::from).collect(),
                questions: questions.map(UdpSocket::from).collect(),
            })
        }
    };
    Ok(Parts {
        user,
        network,
        listeners,
        forwarded,
    })
}

fn wait_for_descriptors(socket: &UnixStream, holder: &Holder) -> io::Result<Vec<OwnedFd>> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        // Seen before the look at the socket, so that nothing that was sent is missed.
        let is_last = holder.has_ended() || Instant::now() >= deadline;
        match receive_descriptors(socket) {
            Ok(received) => return Ok(received),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_last => {}
            Err(error) => return Err(error),
        }
    }
}

/// A user's `PATH` often lacks the folders with the programs of the system.
fn with_system_folders(path: &OsStr) -> OsString {
    let mut path = path.to_owned();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(SYSTEM_FOLDERS);
    path
}

/// Where the programs of every Linux system are.
const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// What [`enter`] executes; pasta does well without.
const SETS_UID_BACK: &str = "unshare";

/// It takes a tenth of a second; a machine that needs longer than this is better served by another
/// way.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// How soon an early end of the holder is noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
