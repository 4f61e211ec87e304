//! Classifies how far away an address is: this machine or its link, a private network, or the
//! internet.
//!
//! The tables are the special-purpose registries of IANA, and where an IPv6 address contains an
//! IPv4 one that a gateway would dial, the nearer of the two counts. Only [`is_of_this_machine`]
//! asks the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// How far away an address is, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// This machine, its link, the metadata service of its cloud, or no single peer at all.
    Local,
    /// A private network.
    Private,
    /// The internet.
    Public,
}

impl Reach {
    /// The reach of the address itself. It may still be a public address of this machine: see
    /// [`is_of_this_machine`].
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if METADATA.contains(&ip) => Self::Local,
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => translated(ip).map_or(Self::of_v6(ip), |v4| {
                Self::of_v6(ip).min(Self::of(v4.into()))
            }),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let holds = |block: &&(Ipv4Addr, u32, Self)| {
            (block.0.to_bits() ^ ip.to_bits()) >> (u32::BITS - block.1) == 0
        };
        IPV4.iter()
            .find(holds)
            .map_or(Self::Public, |block| block.2)
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let holds = |block: &&(Ipv6Addr, u32, Self)| {
            (block.0.to_bits() ^ ip.to_bits()) >> (u128::BITS - block.1) == 0
        };
        IPV6.iter().find(holds).map_or(Self::Local, |block| block.2)
    }
}

/// Whether the address is one of this machine's own, public ones included: the kernel then sends to
/// it from itself. It is asked each time, because addresses come and go; nothing is sent by that.
pub(super) fn is_of_this_machine(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_loopback() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let source = UdpSocket::bind((any, 0)).and_then(|udp| {
        udp.connect((ip, DISCARD))?;
        udp.local_addr()
    });
    // Where no route leads, nothing can be dialled either.
    source.is_ok_and(|source| source.ip() == ip)
}

/// The IPv4 address that a gateway dials for the well-known translation prefix 64:ff9b::/96 (RFC
/// 6052), and for prefixes of 96 bits below 64:ff9b:1::/48, which is for local gateways (RFC 8215).
fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, .., high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

use Reach::{Local, Private, Public};

/// Metadata services, which give a virtual machine its identity and credentials. Most are
/// link-local; these are not: Azure's, Alibaba's, and those of Amazon and Google for IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// The IANA IPv4 Special-Purpose Address Registry (RFC 6890) as of RFC 9780 (2025), and multicast
/// (RFC 5771). What the registry calls globally reachable is public, what somebody may have behind
/// a router is private, and the rest is for nobody to dial. A block that lies in another one stands
/// before it; an address in no block is public.
const IPV4: &[(Ipv4Addr, u32, Reach)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Local), // This network, RFC 791
    (Ipv4Addr::new(10, 0, 0, 0), 8, Private), // Private use, RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10, Private), // Shared by carriers and clouds, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8, Local), // Loopback, RFC 1122
    (Ipv4Addr::new(169, 254, 0, 0), 16, Local), // Link local, RFC 3927
    (Ipv4Addr::new(172, 16, 0, 0), 12, Private), // Private use, RFC 1918
    (Ipv4Addr::new(192, 0, 0, 9), 32, Public), // Port Control Protocol anycast, RFC 7723
    (Ipv4Addr::new(192, 0, 0, 10), 32, Public), // TURN anycast, RFC 8155
    (Ipv4Addr::new(192, 0, 0, 0), 24, Local), // Protocol assignments, RFC 6890
    (Ipv4Addr::new(192, 0, 2, 0), 24, Local), // Documentation, RFC 5737
    (Ipv4Addr::new(192, 31, 196, 0), 24, Public), // AS112, RFC 7535
    (Ipv4Addr::new(192, 52, 193, 0), 24, Public), // Automatic multicast tunnelling, RFC 7450
    (Ipv4Addr::new(192, 88, 99, 0), 24, Local), // Relays of 6to4 and 6a44, deprecated, RFC 7526, RFC 6751
    (Ipv4Addr::new(192, 168, 0, 0), 16, Private), // Private use, RFC 1918
    (Ipv4Addr::new(192, 175, 48, 0), 24, Public), // AS112, RFC 7534
    (Ipv4Addr::new(198, 18, 0, 0), 15, Private), // Benchmarks, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24, Local), // Documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24, Local), // Documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 4, Local),    // Multicast, RFC 5771
    (Ipv4Addr::new(240, 0, 0, 0), 4, Local),    // Reserved, and broadcast, RFC 1112, RFC 8190
];

/// Likewise the IPv6 registry. Global unicast (RFC 4291) comes last; an address in no block is for
/// nobody to dial: ::/96 (IPv4-compatible) and fec0::/10 (site-local) are deprecated, ff00::/8 is
/// multicast, the rest is not assigned. So are 6to4 and Teredo, whose relays would dial an IPv4
/// address.
const IPV6: &[(Ipv6Addr, u32, Reach)] = &[
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, Public), // Translation, RFC 6052
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Private), // Local translation, RFC 8215
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Private),    // Unique local, RFC 4193
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128, Public), // Port Control Protocol anycast, RFC 7723
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128, Public), // TURN anycast, RFC 8155
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128, Public), // Service registration anycast, RFC 9665
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32, Public), // Automatic multicast tunnelling, RFC 7450
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48, Public), // AS112, RFC 7535
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28, Public), // ORCHIDv2, RFC 7343
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28, Public), // Identities of drones, RFC 9374
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Local), // Protocol assignments, Teredo and benchmarks among them, RFC 2928
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Local), // Documentation, RFC 3849
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Local), // 6to4, RFC 3056
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        Public,
    ), // AS112, RFC 7534
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Local), // Documentation, RFC 9637
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, Public), // Global unicast, RFC 4291
];

/// Nothing is sent to it: a datagram socket that is connected only learns its own address.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that stands behind one that holds it would never be found.
    #[test]
    fn blocks_are_written_whole_and_the_narrower_stand_first() {
        for (at, (base, length, _)) in IPV4.iter().enumerate() {
            assert_eq!(
                base.to_bits() << (length - 1) << 1,
                0,
                "{base}/{length} has bits behind its prefix"
            );
            let hidden = |(of, shorter, _): &(Ipv4Addr, u32, Reach)| {
                shorter <= length && (of.to_bits() ^ base.to_bits()) >> (32 - shorter) == 0
            };
            assert!(
                !IPV4[..at].iter().any(hidden),
                "{base}/{length} is never found"
            );
        }
        for (at, (base, length, _)) in IPV6.iter().enumerate() {
            assert_eq!(
                base.to_bits() << (length - 1) << 1,
                0,
                "{base}/{length} has bits behind its prefix"
            );
            let hidden = |(of, shorter, _): &(Ipv6Addr, u32, Reach)| {
                shorter <= length && (of.to_bits() ^ base.to_bits()) >> (128 - shorter) == 0
            };
            assert!(
                !IPV6[..at].iter().any(hidden),
                "{base}/{length} is never found"
            );
        }
    }

    #[test]
    fn the_kernel_knows_which_addresses_are_its_own() {
        for own in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "0.0.0.0",
            "::",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_of_this_machine(own.parse().unwrap()), "{own}");
        }
        for other in ["192.0.2.1", "2001:db8::1", "8.8.8.8", "255.255.255.255"] {
            assert!(!is_of_this_machine(other.parse().unwrap()), "{other}");
        }
    }
}
