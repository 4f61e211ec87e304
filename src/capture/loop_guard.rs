//! Guards against connections to Gravimeter itself, and through the CONNECT proxy to the inside of
//! this machine and its networks.
//!
//! Input: addresses; output: the same addresses or a [`RefuseReason`]. Pure, but for one question
//! to the kernel: whether an address belongs to this machine. A loop would dial itself until no
//! file descriptor is left.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::reach::{Reach, is_of_this_machine};
use crate::record::RefuseReason;

/// Knows Gravimeter's own addresses and which destinations the CONNECT proxy serves.
#[derive(Debug, Clone)]
pub struct LoopGuard {
    own: Vec<SocketAddr>,
    allow_private_networks: bool,
}

impl LoopGuard {
    /// `own` is every address that Gravimeter listens on, the exporter's included; an unspecified
    /// one stands for all of this machine.
    #[must_use]
    pub fn new(own: Vec<SocketAddr>, allow_private_networks: bool) -> Self {
        Self {
            own: own.into_iter().map(canonical).collect(),
            allow_private_networks,
        }
    }

    /// Checks the original destination of a connection that was redirected to `local`. Any other
    /// destination is allowed, loopback included: the agent really dialled it.
    ///
    /// # Errors
    /// [`RefuseReason::Loop`] when it is Gravimeter itself, [`RefuseReason::NotRedirected`] when
    /// there is no original address.
    pub fn redirected(
        &self,
        original: io::Result<SocketAddr>,
        local: SocketAddr,
    ) -> Result<SocketAddr, RefuseReason> {
        let original = canonical(original.map_err(|_| RefuseReason::NotRedirected)?);
        // A client dialled the listener itself while connection tracking is loaded.
        let dialled_the_door = original == canonical(local);
        if dialled_the_door || self.is_own(original) {
            Err(RefuseReason::Loop)
        } else {
            Ok(original)
        }
    }

    /// Checks an address that an agent asked for, by number or as the result of a name: the owner
    /// of a name can let it point inside (DNS rebinding).
    ///
    /// # Errors
    /// [`RefuseReason::Loop`] when it is Gravimeter itself, [`RefuseReason::ForbiddenDestination`]
    /// when it is this machine under any of its addresses, or otherwise inside.
    pub fn requested(&self, address: SocketAddr) -> Result<SocketAddr, RefuseReason> {
        let address = canonical(address);
        if self.is_own(address) {
            return Err(RefuseReason::Loop);
        }
        let is_open = match Reach::of(address.ip()) {
            Reach::Local => false,
            Reach::Private => self.allow_private_networks,
            Reach::Public => true,
        };
        if is_open && !is_of_this_machine(address.ip()) {
            Ok(address)
        } else {
            Err(RefuseReason::ForbiddenDestination)
        }
    }

    /// Whether dialling the address would lead back to Gravimeter.
    #[must_use]
    pub fn is_own(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        let hit = |own: &SocketAddr| {
            // Linux takes a dialled unspecified address for loopback.
            let same = own.ip() == address.ip() || address.ip().is_unspecified();
            own.port() == address.port()
                && (same || own.ip().is_unspecified() && is_of_this_machine(address.ip()))
        };
        self.own.iter().any(hit)
    }
}

/// A v4-mapped address is the IPv4 address in it; every other one stays as it is, with its scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
        IpAddr::V6(_) => address,
    }
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
        for own in [
            "127.0.0.1:8742",
            "[::1]:8742",
            "127.0.0.1:8741",
            "[::ffff:127.0.0.1]:8741",
            "0.0.0.0:8742",
        ] {
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
            // This machine, its link, or nobody.
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
            "240.0.0.1:443",
            "192.0.0.1:443",
            "192.0.0.170:443",
            "192.88.99.1:443",
            "[fec0::1]:443",
            "[100::1]:443",
            "[4000::1]:443",
            // Documentation.
            "192.0.2.1:443",
            "198.51.100.7:443",
            "203.0.113.1:443",
            "[2001:db8::1]:443",
            "[3fff::1]:443",
            // Private networks.
            "10.0.0.1:443",
            "172.16.0.1:443",
            "192.168.1.1:443",
            "100.64.0.1:443",
            "198.18.0.1:443",
            "198.19.255.255:443",
            "[fd00::1]:443",
            "[64:ff9b:1::808:808]:443",
            // Metadata services.
            "168.63.129.16:80",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
            "[fd20:ce::254]:80",
            // IPv4 inside IPv6: mapped, compatible, translated, 6to4, Teredo.
            "[::ffff:169.254.169.254]:80",
            "[::ffff:168.63.129.16]:80",
            "[::127.0.0.1]:443",
            "[::8.8.8.8]:443",
            "[::ffff:0:10.0.0.1]:443",
            "[64:ff9b::a9fe:a9fe]:80",
            "[64:ff9b::a83f:8110]:80",
            "[64:ff9b::10.0.0.1]:443",
            "[2002:7f00:1::1]:443",
            "[2002:808:808::1]:443",
            "[2001:0:808:808::1]:443",
        ] {
            assert_eq!(
                guard.requested(at(inside)),
                Err(RefuseReason::ForbiddenDestination),
                "{inside}"
            );
        }
        assert_eq!(
            guard.requested(at("198.51.100.7:8743")),
            Err(RefuseReason::Loop)
        );
        for outside in [
            "8.8.8.8:443",
            "[2001:4860:4860::8888]:443",
            "[64:ff9b::808:808]:443",
            "172.32.0.1:443",
            "100.128.0.1:443",
            "192.0.0.9:443",
            "192.0.1.1:443",
            "198.20.0.1:443",
            "223.255.255.255:443",
            "[2001:20::1]:443",
            "[2620:4f:8000::1]:443",
        ] {
            assert_eq!(guard.requested(at(outside)), Ok(at(outside)), "{outside}");
        }
    }

    #[test]
    fn private_networks_can_be_allowed_but_nothing_nearer() {
        let guard = LoopGuard::new(vec![], true);
        for private in [
            "10.0.0.1:443",
            "[fd00::1]:443",
            "198.18.0.1:443",
            "[64:ff9b::a00:1]:443",
            "[64:ff9b:1::a00:1]:443",
        ] {
            assert_eq!(guard.requested(at(private)), Ok(at(private)), "{private}");
        }
        for nearer in [
            "127.0.0.1:443",
            "169.254.169.254:80",
            "168.63.129.16:80",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
            "[64:ff9b:1::a9fe:a9fe]:80",
        ] {
            assert_eq!(
                guard.requested(at(nearer)),
                Err(RefuseReason::ForbiddenDestination),
                "{nearer}"
            );
        }
    }
}
