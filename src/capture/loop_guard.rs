//! What the house must never be led to: itself, and through the CONNECT door the inside of this machine and its networks.
//!
//! Addresses enter, the same addresses or a [`RefuseReason`] leave. Pure, but for one question to the kernel: whether an
//! address is of this machine. A loop would dial itself until no file descriptor is left.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::record::RefuseReason;

/// Knows the house's own addresses and which destinations the CONNECT door serves.
#[derive(Debug, Clone)]
pub struct LoopGuard {
    own: Vec<SocketAddr>,
    allow_private_networks: bool,
}

impl LoopGuard {
    /// `own` is every address the house listens on, the exporter's included; an unspecified one stands for all of this machine.
    #[must_use]
    pub fn new(own: Vec<SocketAddr>, allow_private_networks: bool) -> Self {
        Self { own: own.into_iter().map(canonical).collect(), allow_private_networks }
    }

    /// Checks what the kernel says of a connection that arrived by redirect at `local`. Where it points is otherwise free,
    /// loopback included: the agent really dialled it.
    ///
    /// # Errors
    /// [`RefuseReason::Loop`] when it points at the house, [`RefuseReason::NotRedirected`] when there is no original address.
    pub fn redirected(&self, original: io::Result<SocketAddr>, local: SocketAddr) -> Result<SocketAddr, RefuseReason> {
        let original = canonical(original.map_err(|_| RefuseReason::NotRedirected)?);
        // Somebody dialled the door itself while connection tracking is loaded.
        let dialled_the_door = original == canonical(local);
        if dialled_the_door || self.is_own(original) { Err(RefuseReason::Loop) } else { Ok(original) }
    }

    /// Checks an address that an agent asked for, by number or as the answer to a name: whoever controls a name can let it
    /// point inside (DNS rebinding).
    ///
    /// # Errors
    /// [`RefuseReason::Loop`] when it is the house, [`RefuseReason::ForbiddenDestination`] when it is inside.
    pub fn requested(&self, address: SocketAddr) -> Result<SocketAddr, RefuseReason> {
        let address = canonical(address);
        if self.is_own(address) {
            return Err(RefuseReason::Loop);
        }
        match reach(address.ip()) {
            Reach::Local => Err(RefuseReason::ForbiddenDestination),
            Reach::Private if !self.allow_private_networks => Err(RefuseReason::ForbiddenDestination),
            Reach::Private | Reach::Public => Ok(address),
        }
    }

    /// Whether dialling the address would lead back into the house.
    #[must_use]
    pub fn is_own(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        let hit = |own: &SocketAddr| {
            // Linux takes a dialled unspecified address for loopback.
            let same = own.ip() == address.ip() || address.ip().is_unspecified();
            own.port() == address.port() && (same || own.ip().is_unspecified() && is_of_this_machine(address.ip()))
        };
        self.own.iter().any(hit)
    }
}

/// How far away an address is.
enum Reach {
    /// This machine or its link, or no single peer at all: never served.
    Local,
    /// A network of somebody's own.
    Private,
    /// The internet.
    Public,
}

fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => nat64(v6).map_or_else(|| reach_v6(v6), reach_v4),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [first, second, ..] = ip.octets();
    // 0.0.0.0/8 is "this network" (RFC 1122 section 3.2.1.3); 100.64.0.0/10 is shared by carriers and clouds (RFC 6598).
    if first == 0 || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() {
        Reach::Local
    } else if ip.is_private() || (first == 100 && second & 0xc0 == 64) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast() {
        Reach::Local
    } else if ip.is_unique_local() {
        Reach::Private
    } else {
        Reach::Public
    }
}

/// The IPv4 address behind the well-known translation prefix 64:ff9b::/96 (RFC 6052): a gateway would dial that one.
fn nat64(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    }
}

/// A v4-mapped address is the IPv4 address in it; every other one stays as it is, with its scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// The kernel lets a socket be bound only to an address of this machine.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn guard(own: &[&str]) -> LoopGuard {
        LoopGuard::new(own.iter().map(|text| at(text)).collect(), false)
    }

    #[test]
    fn a_redirected_connection_never_leads_home() {
        let guard = guard(&["127.0.0.1:8742", "[::1]:8742", "127.0.0.1:8741"]);
        let local = at("127.0.0.1:8742");
        let check = |original: &str| guard.redirected(Ok(at(original)), local);
        for own in ["127.0.0.1:8742", "[::1]:8742", "127.0.0.1:8741", "[::ffff:127.0.0.1]:8741", "0.0.0.0:8742"] {
            assert_eq!(check(own), Err(RefuseReason::Loop), "{own}");
        }
        assert_eq!(check("127.0.0.1:443"), Ok(at("127.0.0.1:443")));
        assert_eq!(check("[::ffff:192.0.2.1]:443"), Ok(at("192.0.2.1:443")));
    }

    #[test]
    fn a_connection_without_original_address_was_not_redirected() {
        let enoent = io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error());
        let refused = guard(&[]).redirected(Err(enoent), at("127.0.0.1:8742"));
        assert_eq!(refused, Err(RefuseReason::NotRedirected));
        let dialled = guard(&[]).redirected(Ok(at("127.0.0.1:8742")), at("127.0.0.1:8742"));
        assert_eq!(dialled, Err(RefuseReason::Loop));
    }

    #[test]
    fn an_unspecified_listener_stands_for_every_address_of_this_machine() {
        let guard = guard(&["0.0.0.0:8742"]);
        for own in ["127.0.0.1:8742", "127.8.8.8:8742", "0.0.0.0:8742"] {
            assert!(guard.is_own(at(own)), "{own}");
        }
        for other in ["192.0.2.1:8742", "127.0.0.1:8743"] {
            assert!(!guard.is_own(at(other)), "{other}");
        }
    }

    #[test]
    fn the_connect_door_does_not_lead_inside() {
        let guard = guard(&["198.51.100.7:8743"]);
        for inside in [
            "127.0.0.1:443",
            "127.9.9.9:443",
            "[::1]:443",
            "0.0.0.0:443",
            "0.1.2.3:443",
            "[::]:443",
            "169.254.169.254:80",
            "[fe80::1]:443",
            "224.0.0.1:443",
            "[ff02::1]:443",
            "255.255.255.255:443",
            "10.0.0.1:443",
            "172.16.0.1:443",
            "192.168.1.1:443",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
            "[::ffff:169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
        ] {
            assert_eq!(guard.requested(at(inside)), Err(RefuseReason::ForbiddenDestination), "{inside}");
        }
        assert_eq!(guard.requested(at("198.51.100.7:8743")), Err(RefuseReason::Loop));
        for outside in ["198.51.100.7:443", "[2001:db8::1]:443", "172.32.0.1:443", "100.128.0.1:443"] {
            assert_eq!(guard.requested(at(outside)), Ok(at(outside)), "{outside}");
        }
    }

    #[test]
    fn private_networks_can_be_allowed_but_nothing_nearer() {
        let guard = LoopGuard::new(vec![], true);
        assert!(guard.requested(at("10.0.0.1:443")).is_ok() && guard.requested(at("[fd00::1]:443")).is_ok());
        assert!(guard.requested(at("127.0.0.1:443")).is_err() && guard.requested(at("169.254.169.254:80")).is_err());
    }
}
