//! TLS handshakes of both sides, and how they fail.

use std::time::Duration;

use super::label::label;

label! {
    /// Which of the two TLS sessions of a connection.
    pub enum Side {
        /// Between the agent and Gravimeter.
        Agent => "agent",
        /// Between Gravimeter and the provider.
        Upstream => "upstream",
    }
}

label! {
    /// The negotiated protocol version.
    pub enum TlsVersion {
        /// TLS 1.2.
        Tls12 => "1.2",
        /// TLS 1.3.
        Tls13 => "1.3",
    }
}

label! {
    /// Why a handshake failed: a verification error, an alert of the other side, or a limit of
    /// Gravimeter.
    pub enum HandshakeFailure {
        /// The other side sent `bad_certificate`, `certificate_unknown` or
        /// `unsupported_certificate`.
        BadCertificateAlert => "bad_certificate",
        /// The certificate chain is malformed or carries an extension or algorithm that is not
        /// accepted.
        BadEncoding => "bad_encoding",
        /// The TCP connection ended inside the handshake.
        Closed => "closed",
        /// The certificate has expired.
        Expired => "expired",
        /// The other side sent `handshake_failure`, `insufficient_security` or `protocol_version`,
        /// or nothing in common was offered.
        Incompatible => "incompatible",
        /// A certificate in the chain is not allowed for this use (no CA, path length, name
        /// constraints, key usage).
        InvalidPurpose => "invalid_purpose",
        /// The certificate is not valid yet.
        NotYetValid => "not_yet_valid",
        /// Another fatal alert of the other side.
        OtherAlert => "other_alert",
        /// The chain leads to Gravimeter's own CA.
        OwnCa => "own_ca",
        /// The other side broke the protocol.
        Protocol => "protocol",
        /// A certificate in the chain has been revoked.
        Revoked => "revoked",
        /// The handshake did not end in time.
        Timeout => "timeout",
        /// The other side sent `unknown_ca`: it does not trust Gravimeter's CA.
        UnknownCa => "unknown_ca",
        /// The chain does not lead to a trusted root.
        Untrusted => "untrusted",
        /// A signature in the chain is wrong or made with an algorithm that is not accepted.
        WeakSignature => "weak_signature",
        /// The certificate is for another name.
        WrongHost => "wrong_host",
    }
}

label! {
    /// Where a leaf certificate came from.
    pub enum LeafResult {
        /// From the cache.
        Cached => "cached",
        /// Made for this connection.
        Minted => "minted",
    }
}

/// A finished handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Which session.
    pub side: Side,
    /// The negotiated version.
    pub version: TlsVersion,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Time from the first handshake byte that could be sent to the last one received.
    pub duration: Duration,
}
