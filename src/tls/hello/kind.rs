//! What kind of TLS client a ClientHello comes from: clients of the same library with the same
//! settings make the same offers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rustls::server::ClientHello;

/// A kind of TLS client, comparable within one process. Two programs may be of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKind(u64);

impl ClientKind {
    /// That of a client whose offers cannot be read.
    pub const UNKNOWN: Self = Self(0);

    /// The kind that the offers tell: ciphers, signatures, groups and application protocols. Values
    /// that a client draws anew for each connection (GREASE) are left out.
    pub(super) fn of(hello: &ClientHello<'_>) -> Self {
        let ciphers = hello
            .cipher_suites()
            .iter()
            .map(|&cipher| u16::from(cipher));
        let signatures = hello.signature_schemes().iter();
        let groups = hello.named_groups().into_iter().flatten();
        let offers = [
            ciphers.collect::<Vec<_>>(),
            signatures.map(|&signature| u16::from(signature)).collect(),
            groups.map(|&group| u16::from(group)).collect(),
        ];
        let protocols: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
        Self::hashed(&offers, &protocols)
    }

    fn hashed(offers: &[Vec<u16>; 3], protocols: &[&[u8]]) -> Self {
        let mut hasher = DefaultHasher::new();
        for offer in offers {
            let lasting: Vec<_> = offer.iter().filter(|value| !is_grease(**value)).collect();
            lasting.hash(&mut hasher);
        }
        protocols.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// RFC 8701 section 2: both bytes are the same and end in `a`.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_what_a_client_offers_each_time() {
        let kind = |ciphers: &[u16], protocols: &[&[u8]]| {
            ClientKind::hashed(&[ciphers.to_vec(), vec![1], vec![2]], protocols)
        };
        let one = kind(&[0x1a1a, 0x1301, 0x1302], &[b"h2"]);
        assert_eq!(one, kind(&[0xfafa, 0x1301, 0x1302], &[b"h2"]));
        assert_eq!(one, kind(&[0x1301, 0x1302], &[b"h2"]));
        assert_ne!(one, kind(&[0x1302, 0x1301], &[b"h2"]));
        assert_ne!(one, kind(&[0x1301, 0x1302], &[b"http/1.1"]));
        assert_ne!(one, kind(&[0x1301, 0x1302, 0x1a2a], &[b"h2"]));
    }
}
