//! Dials a destination: returns a TCP connection to the provider, never one that leads back into
//! Gravimeter.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::capture::listener::tune;
use crate::capture::{Destination, LoopGuard};
use crate::record::{Host, RefuseReason};

/// Why there is no connection to the provider.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the destination is not allowed ({0})")]
    Forbidden(RefuseReason),
    #[error("the destination's name cannot be resolved: {0}")]
    Resolve(#[source] io::Error),
    #[error("the destination cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
}

/// Dials the destination: an override for its host name, else its address, else every address of
/// its name in turn. Each address gets an equal share of `limit`, so that an unreachable one in
/// front does not hide a working one behind it.
pub(super) async fn dial(
    destination: &Destination,
    sni: Option<&Host>,
    overrides: &HashMap<(Host, u16), SocketAddr>,
    guard: &LoopGuard,
    limit: Duration,
) -> Result<TcpStream, DialError> {
    let addresses = addresses(destination, sni, overrides, guard).await?;
    first_reachable(&addresses, limit).await
}

/// Connects to the addresses in turn.
async fn first_reachable(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, DialError> {
    let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let Some((last, before)) = addresses.split_last() else {
        return Err(DialError::Resolve(io::ErrorKind::NotFound.into()));
    };
    for address in before {
        if let Ok(Ok(tcp)) = timeout(share, TcpStream::connect(address)).await {
            return checked(tcp);
        }
    }
    // The caller enforces the limit.
    TcpStream::connect(last)
        .await
        .map_err(DialError::Unreachable)
        .and_then(checked)
}

async fn addresses(
    destination: &Destination,
    sni: Option<&Host>,
    overrides: &HashMap<(Host, u16), SocketAddr>,
    guard: &LoopGuard,
) -> Result<Vec<SocketAddr>, DialError> {
    let (host, port) = match destination {
        Destination::Address(address) => (sni, address.port()),
        Destination::Name { host, port } => (Some(host), *port),
    };
    if let Some(address) = host.and_then(|host| overrides.get(&(host.clone(), port))) {
        let own = guard.is_own(*address);
        return if own {
            Err(DialError::Forbidden(RefuseReason::Loop))
        } else {
            Ok(vec![*address])
        };
    }
    match destination {
        Destination::Address(address) => Ok(vec![*address]),
        Destination::Name { host, port } => {
            let resolved = lookup_host((host.as_str(), *port))
                .await
                .map_err(DialError::Resolve)?;
            permitted(resolved, guard)
        }
    }
}

/// The addresses that the guard permits; its last refusal when there is none.
fn permitted(
    resolved: impl Iterator<Item = SocketAddr>,
    guard: &LoopGuard,
) -> Result<Vec<SocketAddr>, DialError> {
    let (mut open, mut refused) = (Vec::new(), None);
    for address in resolved {
        match guard.requested(address) {
            Ok(address) => open.push(address),
            Err(reason) => refused = Some(reason),
        }
    }
    match refused {
        Some(reason) if open.is_empty() => Err(DialError::Forbidden(reason)),
        _ => Ok(open),
    }
}

fn checked(tcp: TcpStream) -> Result<TcpStream, DialError> {
    // TCP connects a socket to itself when a dialled local port happens to be the one the kernel
    // chose for the dialler.
    let ends = tcp
        .local_addr()
        .and_then(|local| Ok((local, tcp.peer_addr()?)));
    match ends {
        Ok((local, peer)) if local == peer => Err(DialError::Forbidden(RefuseReason::Loop)),
        _ => tune(&tcp).map(|()| tcp).map_err(DialError::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn name(host: &str) -> (Host, Destination) {
        let host = Host::parse(host).unwrap();
        (host.clone(), Destination::Name { host, port: 443 })
    }

    #[tokio::test]
    async fn a_name_that_points_inside_is_refused() {
        let guard = LoopGuard::new(vec![], false);
        let (_, localhost) = name("localhost");
        let refused = addresses(&localhost, None, &HashMap::new(), &guard).await;
        assert!(
            matches!(
                refused,
                Err(DialError::Forbidden(RefuseReason::ForbiddenDestination))
            ),
            "{refused:?}"
        );
        let rebound = permitted([at("10.0.0.1:443"), at("8.8.8.8:443")].into_iter(), &guard);
        assert_eq!(rebound.unwrap(), [at("8.8.8.8:443")]);
    }

    #[tokio::test]
    async fn an_override_names_the_address_but_never_gravimeter() {
        let guard = LoopGuard::new(vec![at("127.0.0.1:8742")], false);
        let (host, destination) = name("api.example.com");
        let mut overrides = HashMap::from([((host.clone(), 443), at("127.0.0.1:9000"))]);
        let by_name = addresses(&destination, None, &overrides, &guard)
            .await
            .unwrap();
        let redirected = Destination::Address(at("192.0.2.1:443"));
        let by_sni = addresses(&redirected, Some(&host), &overrides, &guard)
            .await
            .unwrap();
        assert_eq!(
            (by_name, by_sni),
            (vec![at("127.0.0.1:9000")], vec![at("127.0.0.1:9000")])
        );
        overrides.insert((host, 443), at("127.0.0.1:8742"));
        let refused = addresses(&destination, None, &overrides, &guard).await;
        assert!(
            matches!(refused, Err(DialError::Forbidden(RefuseReason::Loop))),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_connection_to_itself_is_a_loop() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(at("127.0.0.1:0")).unwrap();
        let own = socket.local_addr().unwrap();
        let itself = socket.connect(own).await.unwrap();
        assert!(matches!(
            checked(itself),
            Err(DialError::Forbidden(RefuseReason::Loop))
        ));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await;
        assert!(checked(other.unwrap()).is_ok());
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        // With a full queue of connections nobody accepts, the kernel drops further SYNs.
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind(at("127.0.0.1:0")).unwrap();
        let full = full.listen(0).unwrap();
        let silent = full.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(connection) =
            timeout(Duration::from_millis(300), TcpStream::connect(silent)).await
        {
            queued.push(connection.unwrap());
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let working = listener.local_addr().unwrap();
        let limit = Duration::from_secs(4);
        let dialled = timeout(limit, first_reachable(&[silent, working], limit)).await;
        let tcp = dialled.expect("within the limit").unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), working);
    }

    #[tokio::test]
    async fn nobody_at_home_is_unreachable() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let guard = LoopGuard::new(vec![], false);
        let destination = Destination::Address(closed);
        let dialled = dial(
            &destination,
            None,
            &HashMap::new(),
            &guard,
            Duration::from_secs(10),
        )
        .await;
        assert!(
            matches!(dialled, Err(DialError::Unreachable(_))),
            "{dialled:?}"
        );
    }
}
