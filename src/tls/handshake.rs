//! The agent's side of a connection: its handshake, and the alert with the reason for refusing it.
//!
//! Input: a stream and a configuration; output: a session and its [`Handshake`]. Sets no timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::failure;
use crate::record::{Handshake, HandshakeFailure, Side, TlsVersion};

/// Finishes the handshake with the agent. The caller sets the limit in time.
///
/// # Errors
/// The [`HandshakeFailure`]: the agent's alert (it does not trust the CA), a fault in the protocol,
/// or the end of the stream.
pub(crate) async fn accept<S>(
    stream: S,
    config: Arc<ServerConfig>,
) -> Result<(TlsStream<S>, Handshake), HandshakeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let start = Instant::now();
    let stream = TlsAcceptor::from(config)
        .accept(stream)
        .await
        .map_err(|error| failure::of_io(&error))?;
    let handshake = describe(stream.get_ref().1, Side::Agent, start.elapsed())?;
    Ok((stream, handshake))
}

/// A fatal alert as a record of its own, to be sent before any ServerHello: the agent's TLS library
/// turns it into an error that a person can read (codes: RFC 8446 section 6).
#[must_use]
pub(crate) fn refusal_alert(reason: HandshakeFailure) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, refusal(reason).into()]
}

/// What rustls knows about a finished handshake.
pub(super) fn describe(
    session: &CommonState,
    side: Side,
    duration: Duration,
) -> Result<Handshake, HandshakeFailure> {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => return Err(HandshakeFailure::Protocol),
    };
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(Handshake {
        side,
        version,
        resumed,
        duration,
    })
}

fn refusal(reason: HandshakeFailure) -> AlertDescription {
    match reason {
        HandshakeFailure::Expired | HandshakeFailure::NotYetValid => {
            AlertDescription::CertificateExpired
        }
        HandshakeFailure::UnknownCa | HandshakeFailure::Untrusted => AlertDescription::UnknownCA,
        HandshakeFailure::WrongHost => AlertDescription::CertificateUnknown,
        HandshakeFailure::BadCertificateAlert
        | HandshakeFailure::BadEncoding
        | HandshakeFailure::InvalidPurpose
        | HandshakeFailure::WeakSignature => AlertDescription::BadCertificate,
        HandshakeFailure::Revoked => AlertDescription::CertificateRevoked,
        HandshakeFailure::OwnCa => AlertDescription::AccessDenied,
        HandshakeFailure::Incompatible => AlertDescription::HandshakeFailure,
        HandshakeFailure::Closed
        | HandshakeFailure::OtherAlert
        | HandshakeFailure::Protocol
        | HandshakeFailure::Timeout => AlertDescription::InternalError,
    }
}

#[cfg(test)]
mod tests;
