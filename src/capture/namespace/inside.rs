//! What runs inside the namespace, as a process that pasta starts: opens the listeners, puts the
//! rules in place, hands everything out, and waits for the other end to close.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::rules::{self, RulesError};
use crate::capture::{listener, send_descriptors};

/// The arguments with which our executable becomes this process; addresses follow.
pub(super) const COMMAND: [&str; 2] = ["run-stage", "hold-namespace"];

/// The namespace could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A listener could not be opened.
    #[error("cannot listen on {address} inside the namespace: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The rules could not be put in place.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The process was not started by [`super::Namespace::open`], or the kernel refused.
    #[error("{0}; this command is for gravimeter itself, not for people")]
    System(#[from] io::Error),
}

/// Prepares the namespace of this process, hands it out through `socket`, and returns when the
/// other end has closed. An IPv6 address is left out where the namespace has no IPv6.
///
/// # Errors
/// [`HoldError`].
pub fn hold(socket: impl AsFd, addresses: &[SocketAddr]) -> Result<(), HoldError> {
    let socket = UnixStream::from(socket.as_fd().try_clone_to_owned()?);
    let mut listeners: Vec<TcpListener> = Vec::new();
    for address in addresses {
        match listener::listen(*address) {
            Ok(listener) => listeners.push(listener),
            Err(source) if address.is_ipv6() && is_without_ipv6(&source) => {}
            Err(source) => {
                return Err(HoldError::Listen {
                    address: *address,
                    source,
                });
            }
        }
    }
    let bound = listeners.iter().map(TcpListener::local_addr);
    rules::install(&bound.collect::<io::Result<Vec<_>>>()?)?;
    let namespaces = ["user", "net"].map(|name| File::open(format!("/proc/self/ns/{name}")));
    let [user, network] = namespaces;
    let (user, network) = (user?, network?);
    let mut handed: Vec<BorrowedFd<'_>> = vec![user.as_fd(), network.as_fd()];
    handed.extend(listeners.iter().map(AsFd::as_fd));
    send_descriptors(&socket, &handed)?;
    drop(listeners);
    wait_for_end(socket)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Nothing is ever sent: a byte is as good as the end.
fn wait_for_end(mut socket: UnixStream) -> Result<(), HoldError> {
    match socket.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::Interrupted => wait_for_end(socket),
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok(()),
    }
}
