//! The listening sockets for requests: a TCP port, or a Unix socket in the file system.
//!
//! Input: addresses and paths; output: bound listeners. A socket without a listening process is
//! replaced; any other file at its path is left alone.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use super::origin::Origin;

/// A connection that was accepted.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// A listening socket of the exporter.
#[derive(Debug)]
pub enum Listener {
    /// Every client that can reach the address may ask, by the rules of the web configuration file.
    Tcp(TcpListener),
    /// Every process that may write to the socket's file may ask. The file is ours, unless another
    /// process made it.
    Unix(UnixListener, Option<SocketFile>),
}

/// Why a Unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The operating system refused.
    #[error(
        "cannot listen on {path}: {source}; its folder must exist and be ours (systemd: RuntimeDirectory=gravimeter)",
        path = path.display()
    )]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another kind of file is at the path.
    #[error("{path} is not a socket: remove it, or configure another path", path = path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// Another process listens there.
    #[error("another program listens on {path}: stop it, or configure another path", path = path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
}

impl Listener {
    /// Listens on a new socket at `path`, which has exactly these permissions from its start.
    ///
    /// # Errors
    /// [`SocketError`]; the file at the path is unchanged then.
    pub fn bind_unix(path: &Path, mode: u32) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Bind {
            path: path.to_owned(),
            source,
        };
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        let address = SockAddr::unix(path).map_err(failed)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                socket.bind(&address).map_err(failed)?;
            }
            bound => bound.map_err(failed)?,
        }
        let file = SocketFile::at(path).map_err(failed)?;
        // Nobody can connect before the socket listens: by then its permissions are right.
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(socket.into()).map_err(failed)?;
        Ok(Self::Unix(listener, Some(file)))
    }

    /// The port, where there is one.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Self::Unix(..) => None,
        }
    }

    /// The next connection, and where it comes from. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Origin)> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, address)| (Either::Left(stream), Origin::of(address.ip()))),
            Self::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| (Either::Right(stream), Origin::Socket)),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

/// Removes a socket on which no process listens.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Bind {
        path: path.to_owned(),
        source,
    };
    if !fs::symlink_metadata(path)
        .map_err(failed)?
        .file_type()
        .is_socket()
    {
        return Err(SocketError::NoSocket {
            path: path.to_owned(),
        });
    }
    match knock(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        // A listener with a full backlog is alive.
        Err(source) if source.kind() != io::ErrorKind::WouldBlock => Err(failed(source)),
        _ => Err(SocketError::Taken {
            path: path.to_owned(),
        }),
    }
}

fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The file of a Unix socket; removed when dropped, unless another one is in its place by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Most connections that wait to be accepted.
const BACKLOG: i32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_socket_has_its_permissions_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for wanted in [0o660, 0o600, 0o666] {
            let listener = Listener::bind_unix(&path, wanted).unwrap();
            assert_eq!(mode(&path), wanted);
            let (accepted, connected) = tokio::join!(listener.accept(), UnixStream::connect(&path));
            assert!(accepted.is_ok() && connected.is_ok());
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let stale = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(
            Listener::bind_unix(&path, 0o660),
            Err(SocketError::Taken { .. })
        ));
        assert!(knock(&path).is_ok(), "left as it was");
        drop(stale);
        let listener = Listener::bind_unix(&path, 0o660).expect("nobody listens any more");
        drop(listener);

        fs::write(&path, "data").unwrap();
        assert!(matches!(
            Listener::bind_unix(&path, 0o660),
            Err(SocketError::NoSocket { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"data");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(matches!(
            Listener::bind_unix(&link, 0o660),
            Err(SocketError::NoSocket { .. })
        ));
        assert!(matches!(
            Listener::bind_unix(&folder.path().join("no/s"), 0o660),
            Err(SocketError::Bind { .. })
        ));
        let long = folder.path().join("x".repeat(200));
        assert!(matches!(
            Listener::bind_unix(&long, 0o660),
            Err(SocketError::Bind { .. })
        ));
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let old = Listener::bind_unix(&path, 0o660).unwrap();
        fs::remove_file(&path).unwrap();
        let _new = Listener::bind_unix(&path, 0o660).unwrap();
        drop(old);
        assert!(path.exists());
    }
}
