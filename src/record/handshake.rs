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
        ///
        /// What to do: make the client trust the CA, and restart one that was started before the CA
        /// was renewed.
        BadCertificateAlert => "bad_certificate",
        /// The certificate chain is malformed or carries an extension or algorithm that is not
        /// accepted.
        ///
        /// What to do: report it with the host.
        BadEncoding => "bad_encoding",
        /// The TCP connection ended inside the handshake.
        ///
        /// What to do: nothing if it is rare. A client that closes at once may not trust the CA.
        Closed => "closed",
        /// The certificate has expired.
        ///
        /// What to do: check this machine's clock; at the provider's side wait for it.
        Expired => "expired",
        /// The other side sent `handshake_failure`, `insufficient_security` or `protocol_version`,
        /// or nothing in common was offered.
        ///
        /// What to do: update the client: TLS 1.2 and 1.3 are spoken.
        Incompatible => "incompatible",
        /// A certificate in the chain is not allowed for this use (no CA, path length, name
        /// constraints, key usage).
        ///
        /// What to do: see whether another proxy stands between here and the provider.
        InvalidPurpose => "invalid_purpose",
        /// The certificate is not valid yet.
        ///
        /// What to do: check this machine's clock.
        NotYetValid => "not_yet_valid",
        /// Another fatal alert of the other side.
        ///
        /// What to do: look at the log of the other side.
        OtherAlert => "other_alert",
        /// The chain leads to Gravimeter's own CA.
        ///
        /// What to do: remove the proxy variable or rule by which Gravimeter reaches itself.
        OwnCa => "own_ca",
        /// The other side broke the protocol.
        ///
        /// What to do: see whether another proxy stands between; report it with the host.
        Protocol => "protocol",
        /// A certificate in the chain has been revoked.
        ///
        /// What to do: see whether this machine reaches the real provider.
        Revoked => "revoked",
        /// The handshake did not end in time.
        ///
        /// What to do: see whether the other side is reached at all: firewall, load.
        Timeout => "timeout",
        /// The other side sent `unknown_ca`: it does not trust Gravimeter's CA.
        ///
        /// What to do: make the client trust the CA: the variables of `gravimeter env`, or its own
        /// setting; restart it after a renewal.
        UnknownCa => "unknown_ca",
        /// The chain does not lead to a trusted root.
        ///
        /// What to do: add the root of a proxy of your own to `upstream.extra_roots`; otherwise
        /// somebody stands between here and the provider.
        Untrusted => "untrusted",
        /// A signature in the chain is wrong or made with an algorithm that is not accepted.
        ///
        /// What to do: see whether another proxy stands between here and the provider.
        WeakSignature => "weak_signature",
        /// The certificate is for another name.
        ///
        /// What to do: see whether the name resolves to the provider; check `upstream.resolve`.
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
