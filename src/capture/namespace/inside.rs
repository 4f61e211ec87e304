//! What runs inside the namespace, as a process that pasta or unshare starts: opens the listeners,
//! puts the rules in place, hands everything out, and waits for the other end to close.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::carrier::Forwarded;
use super::isolated;
use super::rules::{self, ForwardedPorts, RulesError, Targets};
use crate::capture::{listener, send_descriptors};

/// The arguments with which our executable becomes this process; addresses follow.
pub(super) const COMMAND: [&str; 2] = ["run-stage", "hold-namespace"];

/// The option for [`Network::Isolated`].
pub(super) const ISOLATED: &str = "--isolated";
/// The option for its IPv6.
pub(super) const WITH_IPV6: &str = "--with-ipv6";

/// What the namespace has of a network when this process starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// pasta has made one.
    Whole,
    /// Nothing but a loopback device: what leaves is handed out to be carried.
    Isolated {
        /// Whether other machines can be reached by IPv6.
        ipv6: bool,
    },
}

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
    /// The routes could not be made.
    #[error("the routes inside the namespace: {0}; install iproute2")]
    Routes(String),
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
pub fn hold(
    socket: impl AsFd,
    addresses: &[SocketAddr],
    network: Network,
) -> Result<(), HoldError> {
    let socket = UnixStream::from(socket.as_fd().try_clone_to_owned()?);
    if let Network::Isolated { ipv6 } = network {
        isolated::lead_to_loopback(ipv6)?;
    }
    let listeners = listen(addresses)?;
    let bound = listeners.iter().map(TcpListener::local_addr);
    let bound = bound.collect::<io::Result<Vec<_>>>()?;
    let forwarded = match network {
        Network::Whole => None,
        Network::Isolated { .. } => Some(isolated::open(&bound)?),
    };
    rules::install(&targets(&bound, forwarded.as_ref())?)?;
    hand_out(&socket, &listeners, forwarded.as_ref())?;
    drop((listeners, forwarded));
    wait_for_end(socket)
}

fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, HoldError> {
    let mut listeners = Vec::new();
    for address in addresses {
        match listener::listen(*address) {
            Ok(listener) => listeners.push(listener),
            Err(source) if address.is_ipv6() && listener::is_without_ipv6(&source) => {}
            Err(source) => {
                return Err(HoldError::Listen {
                    address: *address,
                    source,
                });
            }
        }
    }
    Ok(listeners)
}

fn targets(bound: &[SocketAddr], forwarded: Option<&Forwarded>) -> io::Result<Vec<Targets>> {
    let ports = forwarded.map(isolated::ports).transpose()?;
    let ports = ports.unwrap_or_default().into_iter().map(Some);
    let targets = bound.iter().zip(ports.chain(std::iter::repeat(None)));
    let targets = targets.map(|(intercepted, ports)| Targets {
        intercepted: *intercepted,
        forwarded: ports.map(|(tcp, questions)| ForwardedPorts { tcp, questions }),
    });
    Ok(targets.collect())
}

/// In the order in which [`super::Namespace::open`] takes it.
fn hand_out(
    socket: &UnixStream,
    listeners: &[TcpListener],
    forwarded: Option<&Forwarded>,
) -> io::Result<()> {
    let [user, network] = ["user", "net"].map(|name| File::open(format!("/proc/self/ns/{name}")));
    let (user, network) = (user?, network?);
    let mut handed: Vec<BorrowedFd<'_>> = vec![user.as_fd(), network.as_fd()];
    handed.extend(listeners.iter().map(AsFd::as_fd));
    send_descriptors(socket, &handed)?;
    if let Some(Forwarded { tcp, questions }) = forwarded {
        send_descriptors(socket, &tcp.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        send_descriptors(
            socket,
            &questions.iter().map(AsFd::as_fd).collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

/// Nothing is ever sent: a byte is as good as the end.
fn wait_for_end(mut socket: UnixStream) -> Result<(), HoldError> {
    match socket.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::Interrupted => wait_for_end(socket),
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok(()),
    }
}
