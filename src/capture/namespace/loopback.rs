//! Connections to the loopback addresses of the namespace, for this process, which is outside.
//!
//! A helper process inside makes them and hands the connected sockets out over a Unix socket. pasta
//! forwards loopback ports as well, but only some seconds after they were opened, and not where the
//! port is taken outside: a connection might then reach another program.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{SYSTEM_FOLDERS, enter, spawn_inside};
use crate::capture::{receive_descriptors, send_descriptors};

/// The arguments with which our executable becomes the helper.
const COMMAND: [&str; 2] = ["run-stage", "dial-loopback"];

/// Opens connections to loopback addresses of a namespace. Clones share the helper process, which
/// is started by the first connection and ends with the last clone, or with this process.
#[derive(Debug, Clone)]
pub struct LoopbackDialer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    user: OwnedFd,
    network: OwnedFd,
    /// Our own executable.
    program: PathBuf,
    /// Where programs are searched.
    path: OsString,
    /// Locked for the making of one connection, which takes microseconds.
    helper: Mutex<Option<Helper>>,
}

impl LoopbackDialer {
    /// `user` and `network` are the namespaces.
    pub(super) fn new(user: OwnedFd, network: OwnedFd, program: PathBuf, path: OsString) -> Self {
        Self(Arc::new(Shared {
            user,
            network,
            program,
            path,
            helper: Mutex::default(),
        }))
    }

    /// For the user and the network namespace that another process has handed over. `program` is
    /// our own executable.
    pub(crate) fn of_handed([user, network]: [OwnedFd; 2], program: PathBuf) -> Self {
        Self::new(user, network, program, SYSTEM_FOLDERS.into())
    }

    /// The user and the network namespace.
    pub(crate) fn namespaces(&self) -> [BorrowedFd<'_>; 2] {
        [self.0.user.as_fd(), self.0.network.as_fd()]
    }

    /// Connects to a loopback address of the namespace.
    ///
    /// # Errors
    /// [`ErrorKind::ConnectionRefused`] where nothing listens there, and the operating system's
    /// where the helper cannot be started.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
        let shared = Arc::clone(&self.0);
        let connected = tokio::task::spawn_blocking(move || shared.connect(address));
        let stream = connected.await.map_err(io::Error::other)??;
        stream.set_nonblocking(true)?;
        tokio::net::TcpStream::from_std(stream)
    }

    /// The number of the network namespace: the inode of `/proc/<pid>/ns/net` of processes in it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn network(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.0.network)?.st_ino)
    }
}

/// Two are the same when they share their helper.
impl PartialEq for LoopbackDialer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoopbackDialer {}

impl Shared {
    fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut kept = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        let mut helper = match kept.take() {
            Some(helper) => helper,
            None => Helper::start(self)?,
        };
        match helper.ask(address) {
            Ok(stream) => {
                *kept = Some(helper);
                Ok(stream)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                *kept = Some(helper);
                Err(error)
            }
            // What it answers later would belong to this request: the next one gets another helper.
            Err(error) => Err(error),
        }
    }
}

/// The process inside the namespace. Dropping it ends it.
#[derive(Debug)]
struct Helper {
    child: Child,
    socket: UnixStream,
}

impl Helper {
    fn start(shared: &Shared) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut command = Command::new(&shared.program);
        command
            .args(enter::COMMAND)
            .arg(&shared.program)
            .args(COMMAND)
            .env_clear()
            .env("PATH", &shared.path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The terminal's signals are for the program that runs inside.
            .process_group(0);
        let child = spawn_inside(&shared.user, &shared.network, &mut command, theirs)?;
        Ok(Self {
            child,
            socket: ours,
        })
    }

    fn ask(&mut self, address: SocketAddr) -> io::Result<TcpStream> {
        ask(&self.socket, address)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the helper at the other end of the socket for one connection.
fn ask(mut socket: &UnixStream, address: SocketAddr) -> io::Result<TcpStream> {
    socket.write_all(format!("{address}\n").as_bytes())?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    if answer != [CONNECTED] {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    let received = receive_descriptors(socket)?;
    let [stream] =
        <[OwnedFd; 1]>::try_from(received).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
    Ok(stream.into())
}

/// What the helper does: makes the connections that are asked for through `socket`, one line each
/// with an address, until the other end has closed.
///
/// # Errors
/// The operating system's, also when `socket` is none.
pub fn serve(socket: impl AsFd) -> io::Result<()> {
    let mut socket = UnixStream::from(socket.as_fd().try_clone_to_owned()?);
    let mut requests = BufReader::new(socket.try_clone()?);
    loop {
        let mut request = String::new();
        if (&mut requests).take(MAX_REQUEST).read_line(&mut request)? == 0 {
            return Ok(());
        }
        match dial(request.trim_end()) {
            Ok(stream) => {
                socket.write_all(&[CONNECTED])?;
                send_descriptors(&socket, &[stream.as_fd()])?;
            }
            Err(_) => socket.write_all(&[REFUSED])?,
        }
    }
}

fn dial(address: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = address
        .parse()
        .map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    if !address.ip().to_canonical().is_loopback() {
        return Err(ErrorKind::InvalidInput.into());
    }
    TcpStream::connect_timeout(&address, CONNECT_LIMIT)
}

const CONNECTED: u8 = b'+';
const REFUSED: u8 = b'-';

/// Longer than any socket address.
const MAX_REQUEST: u64 = 128;

/// On loopback a connection is made or refused at once; where the listener's queue is full, the
/// kernel tries for minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The start of the helper, which takes milliseconds, and one connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A helper in a thread instead of a process: there is no namespace between the two.
    fn helper() -> (UnixStream, std::thread::JoinHandle<io::Result<()>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, std::thread::spawn(move || serve(theirs)))
    }

    #[test]
    fn connections_are_made_one_after_the_other_and_refusals_do_no_harm() {
        let (socket, helper) = helper();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        for _ in 0..3 {
            let mut ours = ask(&socket, address).unwrap();
            let (mut theirs, peer) = listener.accept().unwrap();
            assert_eq!(ours.local_addr().unwrap(), peer);
            theirs.write_all(b"hello").unwrap();
            let mut word = [0; 5];
            ours.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"hello");
            let refused = ask(&socket, closed.as_ref().copied().unwrap());
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
        drop(socket);
        helper.join().unwrap().unwrap();
    }

    #[test]
    fn nothing_but_loopback_is_dialled() {
        let (socket, _helper) = helper();
        for address in ["192.0.2.1:443", "0.0.0.0:1", "[2001:db8::1]:1"] {
            let refused = ask(&socket, address.parse().unwrap());
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        assert!(serve(tempfile::tempfile().unwrap()).is_err());
    }
}
