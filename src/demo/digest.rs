//! The hash by which each side of the demo proves to the other that a body arrived as it was sent.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use http::HeaderName;

/// Carries [`sha256`] of the body as it stands on the wire: after the content coding, before the
/// transfer coding.
pub(super) const HASH_HEADER: HeaderName = HeaderName::from_static("x-demo-sha256");

/// SHA-256 in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    sha256_raw(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// SHA-256 as bytes, also used to seed what must follow from a request alone.
pub(super) fn sha256_raw(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut()
        .zip(digest(&SHA256, bytes).as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

/// SHA-1 as bytes, which the handshake of a WebSocket asks for. It protects nothing.
pub(super) fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_vector() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
