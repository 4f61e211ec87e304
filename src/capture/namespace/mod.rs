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
mod obstacle;
mod rules;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

use super::{receive_descriptors, send_descriptors};

pub use obstacle::{Obstacle, obstacles};

/// A namespace that is ready for programs. Dropping it ends pasta; programs that are still inside
/// keep their network namespace, but reach nothing any more.
#[derive(Debug)]
pub struct Namespace {
    user: OwnedFd,
    network: OwnedFd,
    listeners: Vec<TcpListener>,
    /// Closing it ends [`inside`]. `None` only while it is dropped.
    lease: Option<UnixStream>,
    pasta: Child,
}

impl Namespace {
    /// Makes a namespace in which connections to port 443 arrive at listeners on `listen`, which are
    /// addresses of the namespace. `program` is our own executable, and `path` where programs are
    /// searched. Blocks for about a tenth of a second, at most for [`READY_LIMIT`].
    ///
    /// # Errors
    /// What stands in the way on this machine, with the remedy.
    pub fn open(program: &Path, listen: &[SocketAddr], path: &OsStr) -> Result<Self, Obstacle> {
        if rustix::process::geteuid().is_root() {
            return Err(Obstacle::root());
        }
        let (ours, theirs) = UnixStream::pair().map_err(Obstacle::of_system)?;
        // A file and not a pipe: nobody reads from it while the namespace is in use.
        let words = memfd_create("pasta", MemfdFlags::CLOEXEC).map(File::from);
        let words = words.map_err(|errno| Obstacle::of_system(errno.into()))?;
        let stderr = words.try_clone().map_err(Obstacle::of_system)?;
        let path = with_system_folders(path);
        let mut command = Command::new("pasta");
        command
            .args(["--foreground", "--quiet", "--config-net", "--"])
            .arg(program)
            .args(inside::COMMAND)
            .args(listen.iter().map(ToString::to_string))
            .env("PATH", &path)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(stderr)
            // The terminal's signals are for the program that runs inside.
            .process_group(0);
        let mut pasta = command
            .spawn()
            .map_err(|error| Obstacle::of_start("pasta", &error))?;
        // It holds our copy of the other end, which would keep the socket open.
        drop(command);
        let received = ours
            .set_read_timeout(Some(READY_LIMIT))
            .and_then(|()| receive_descriptors(&ours))
            .and_then(|received| Parts::of(received).ok_or(ErrorKind::UnexpectedEof.into()));
        match received {
            Ok(parts) => Ok(Self {
                user: parts.user,
                network: parts.network,
                listeners: parts.listeners,
                lease: Some(ours),
                pasta,
            }),
            Err(error) => {
                drop(ours);
                end(&mut pasta);
                Err(obstacle::of_failure(&error, &text(words), &path))
            }
        }
    }

    /// The listening sockets at which redirected connections arrive. They can be taken once.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// Starts `command` (our own executable, whose arguments make it call [`enter::enter`]) and
    /// hands it the namespaces and the standard input that the program shall have.
    ///
    /// # Errors
    /// The operating system's.
    pub fn spawn(&self, command: &mut Command, stdin: impl std::os::fd::AsFd) -> io::Result<Child> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = command.stdin(OwnedFd::from(theirs)).spawn()?;
        let handed = [stdin.as_fd(), self.user.as_fd(), self.network.as_fd()];
        send_descriptors(&ours, &handed)?;
        Ok(child)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.lease.take());
        end(&mut self.pasta);
    }
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

/// Waits for pasta, which ends by itself after `inside` has; kills it when it does not.
fn end(pasta: &mut Child) {
    let deadline = Instant::now() + END_LIMIT;
    while matches!(pasta.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            // Fails only for a process that has ended.
            let _ = pasta.kill();
            let _ = pasta.wait();
            return;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What pasta and `inside` have said, without the words about a missing system logger.
fn text(mut words: File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is left out: the error is told in any case.
    let _ = words
        .rewind()
        .and_then(|()| words.take(MAX_WORDS).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.ends_with("bytes to syslog"));
    lines.collect::<Vec<_>>().join("; ")
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

/// pasta ends within milliseconds of its child.
const END_LIMIT: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// More than any error of pasta has.
const MAX_WORDS: u64 = 8 << 10;
