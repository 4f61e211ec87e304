//! A namespace with nothing but a loopback device: the routes that let connections begin, so that the
//! rules can redirect them, and the sockets at which they arrive.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::carrier::Forwarded;
use super::feed::feed;
use super::inside::HoldError;
use crate::capture::listener;

/// Leads every address to the loopback device; with `ipv6` those of IPv6 as well.
///
/// # Errors
/// What `ip` has said.
pub(super) fn lead_to_loopback(ipv6: bool) -> Result<(), HoldError> {
    let feed = |orders| feed("ip", &["-batch", "-"], orders).map_err(HoldError::Routes);
    feed(IPV4)?;
    if ipv6 { feed(IPV6) } else { Ok(()) }
}

/// Opens a pair of sockets for each IP family of `listeners`, on the loopback.
///
/// # Errors
/// The operating system's.
pub(super) fn open(listeners: &[SocketAddr]) -> io::Result<Forwarded> {
    let mut forwarded = Forwarded::default();
    for listener in listeners {
        let any_port = SocketAddr::new(loopback(*listener), 0);
        forwarded.tcp.push(listener::listen(any_port)?);
        forwarded.questions.push(UdpSocket::bind(any_port)?);
    }
    Ok(forwarded)
}

fn loopback(listener: SocketAddr) -> IpAddr {
    match listener {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// The ports of both, in their order.
///
/// # Errors
/// The operating system's.
pub(super) fn ports(forwarded: &Forwarded) -> io::Result<Vec<(u16, u16)>> {
    let pairs = forwarded.tcp.iter().zip(&forwarded.questions);
    let ports = pairs
        .map(|(tcp, questions)| Ok((tcp.local_addr()?.port(), questions.local_addr()?.port())));
    ports.collect()
}

/// Without an address of global scope, a connection would begin at 0.0.0.0 and never be completed.
/// This one is the dummy address of RFC 7600, which no other machine has.
const IPV4: &str = "\
link set lo up
address add 192.0.0.8/32 dev lo
route add default dev lo src 192.0.0.8
";

/// The same with an address of the discard prefix (RFC 6666). `nodad`: there is no neighbour to ask
/// whether it is taken.
const IPV6: &str = "\
address add 100::8/128 dev lo nodad
route add default dev lo src 100::8
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_gets_sockets_of_its_own() {
        let listeners = ["127.0.0.1:8742".parse().unwrap()];
        let forwarded = open(&listeners).unwrap();
        let ports = ports(&forwarded).unwrap();
        assert_eq!(ports.len(), 1);
        let (tcp, questions) = ports[0];
        assert!(tcp > 0 && questions > 0);
        assert!(forwarded.tcp[0].local_addr().unwrap().ip().is_loopback());
    }
}
