//! A network namespace of a program's own, made without root: what the program sends to port 443
//! arrives at a listener of ours, everything else goes out through pasta.
//!
//! pasta (<https://passt.top>) makes a user and a network namespace and carries their traffic in
//! user space. In them it runs our own executable ([`inside`]), which redirects TCP port 443,
//! rejects UDP port 443 (QUIC), and hands the listening sockets out over a Unix socket. We accept
//! from them here, in the machine's own namespace, from which providers are dialled as always: no
//! connection of ours can come back to us. The program itself is started by [`enter`], under its
//! own uid.
//!
//! Nothing has to be removed: the namespaces end with the last process in them, and pasta with
//! `inside`, which ends when our end of the Unix socket is closed, by whatever end of this process.

pub mod enter;
pub mod inside;
pub mod loopback;
mod obstacle;
mod pasta;
mod rules;

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{receive_descriptors, send_descriptors};

pub use loopback::LoopbackDialer;
pub use obstacle::{Obstacle, obstacles};

use pasta::Pasta;

/// A namespace that is ready for programs. Dropping it ends pasta; programs that are still inside
/// keep their network namespace, but reach nothing any more.
#[derive(Debug)]
pub struct Namespace {
    user: OwnedFd,
    network: OwnedFd,
    listeners: Vec<TcpListener>,
    /// Closing it ends [`inside`]. `None` only while it is dropped.
    lease: Option<UnixStream>,
    pasta: Pasta,
}

impl Namespace {
    /// Makes a namespace in which connections to port 443 arrive at listeners on `listen`, which are
    /// addresses of the namespace. `program` is our own executable, and `path` where programs are
    /// searched. Blocks for about a tenth of a second, at most for ten seconds.
    ///
    /// # Errors
    /// What stands in the way on this machine, with the remedy.
    pub fn open(program: &Path, listen: &[SocketAddr], path: &OsStr) -> Result<Self, Obstacle> {
        if rustix::process::geteuid().is_root() {
            return Err(Obstacle::root());
        }
        let (ours, theirs) = UnixStream::pair().map_err(Obstacle::of_system)?;
        let path = with_system_folders(path);
        let mut pasta = Pasta::start(program, listen, &path, theirs)?;
        match receive(&ours, &pasta) {
            Ok(Parts {
                user,
                network,
                listeners,
            }) => Ok(Self {
                user,
                network,
                listeners,
                lease: Some(ours),
                pasta,
            }),
            Err(error) => {
                drop(ours);
                pasta.end();
                Err(obstacle::of_failure(&error, &pasta.words(), &path))
            }
        }
    }

    /// The listening sockets at which redirected connections arrive. They can be taken once.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// Whether pasta has ended: programs inside then reach nothing any more.
    #[must_use]
    pub fn has_lost_network(&self) -> bool {
        self.pasta.has_ended()
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
        self.pasta.end();
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
}

impl Parts {
    fn of(received: Vec<OwnedFd>) -> Option<Self> {
        let mut received = received.into_iter();
        let (user, network) = (received.next()?, received.next()?);
        let listeners: Vec<_> = received.map(TcpListener::from).collect();
        (!listeners.is_empty()).then_some(Self {
            user,
            network,
            listeners,
        })
    }
}

/// Waits for what [`inside`] hands out, no longer than pasta runs.
fn receive(socket: &UnixStream, pasta: &Pasta) -> io::Result<Parts> {
    socket.set_read_timeout(Some(LOOK_AGAIN))?;
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        // Seen before the look at the socket, so that nothing that was sent is missed.
        let is_last = pasta.has_ended() || Instant::now() >= deadline;
        match receive_descriptors(socket) {
            Ok(received) => return Parts::of(received).ok_or(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_last => {}
            Err(error) => return Err(error),
        }
    }
}

/// A user's `PATH` often lacks the folders with the programs of the system.
fn with_system_folders(path: &OsStr) -> OsString {
    let mut path = path.to_owned();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

/// It takes a tenth of a second; a machine that needs longer than this is better served by another
/// way.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// How soon an early end of pasta is noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
