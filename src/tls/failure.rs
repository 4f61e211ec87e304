//! Maps errors of rustls, webpki and the socket to one closed set of reasons for a failed
//! handshake.
//!
//! Texts of errors are never passed on, since they can quote the peer.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::own_ca::OwnCaPresented;
use crate::record::HandshakeFailure;

/// The reason behind an error of `tokio_rustls`, which wraps those of rustls into I/O errors.
pub(super) fn of_io(error: &io::Error) -> HandshakeFailure {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(error) => of_tls(error),
        // rustls reports unreadable data as `InvalidData`; all else is an error of the socket.
        None if error.kind() == io::ErrorKind::InvalidData => HandshakeFailure::Protocol,
        None => HandshakeFailure::Closed,
    }
}

fn of_tls(error: &Error) -> HandshakeFailure {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeFailure::Incompatible,
        Error::NoCertificatesPresented => HandshakeFailure::BadEncoding,
        Error::UnsupportedNameType => HandshakeFailure::WrongHost,
        _ => HandshakeFailure::Protocol,
    }
}

fn of_certificate(error: &CertificateError) -> HandshakeFailure {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            HandshakeFailure::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            HandshakeFailure::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            HandshakeFailure::WrongHost
        }
        CertificateError::UnknownIssuer => HandshakeFailure::Untrusted,
        CertificateError::Revoked => HandshakeFailure::Revoked,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            HandshakeFailure::InvalidPurpose
        }
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            HandshakeFailure::WeakSignature
        }
        CertificateError::Other(other) if other.0.is::<OwnCaPresented>() => HandshakeFailure::OwnCa,
        CertificateError::Other(other) => other
            .0
            .downcast_ref()
            .map_or(HandshakeFailure::BadEncoding, of_path),
        // The arm below also takes `UnsupportedSignatureAlgorithm`, deprecated and no longer made
        // for certificates.
        _ => HandshakeFailure::BadEncoding,
    }
}

/// Errors of path building for which rustls has no variant of its own.
fn of_path(error: &webpki::Error) -> HandshakeFailure {
    match error {
        webpki::Error::CaUsedAsEndEntity
        | webpki::Error::EmptyEkuExtension
        | webpki::Error::EndEntityUsedAsCa
        | webpki::Error::NameConstraintViolation
        | webpki::Error::PathLenConstraintViolated => HandshakeFailure::InvalidPurpose,
        // A chain that passes a limit of the search was not shown to lead to a root.
        webpki::Error::MaximumNameConstraintComparisonsExceeded
        | webpki::Error::MaximumPathBuildCallsExceeded
        | webpki::Error::MaximumPathDepthExceeded
        | webpki::Error::MaximumSignatureChecksExceeded => HandshakeFailure::Untrusted,
        webpki::Error::SignatureAlgorithmMismatch => HandshakeFailure::WeakSignature,
        _ => HandshakeFailure::BadEncoding,
    }
}

fn of_alert(alert: AlertDescription) -> HandshakeFailure {
    match alert {
        AlertDescription::UnknownCA => HandshakeFailure::UnknownCa,
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => HandshakeFailure::BadCertificateAlert,
        AlertDescription::CertificateExpired => HandshakeFailure::Expired,
        AlertDescription::CertificateRevoked => HandshakeFailure::Revoked,
        AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol
        | AlertDescription::ProtocolVersion => HandshakeFailure::Incompatible,
        _ => HandshakeFailure::OtherAlert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_socket_is_told_from_one_of_the_protocol() {
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        for (error, expected) in [
            (io::Error::other(alert.clone()), HandshakeFailure::UnknownCa),
            (
                io::Error::new(io::ErrorKind::InvalidData, alert),
                HandshakeFailure::UnknownCa,
            ),
            (
                io::ErrorKind::InvalidData.into(),
                HandshakeFailure::Protocol,
            ),
            (
                io::ErrorKind::ConnectionReset.into(),
                HandshakeFailure::Closed,
            ),
            (
                io::ErrorKind::UnexpectedEof.into(),
                HandshakeFailure::Closed,
            ),
        ] {
            assert_eq!(of_io(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn each_reason_has_its_label() {
        for (error, expected) in [
            (CertificateError::Expired, HandshakeFailure::Expired),
            (CertificateError::NotValidYet, HandshakeFailure::NotYetValid),
            (
                CertificateError::NotValidForName,
                HandshakeFailure::WrongHost,
            ),
            (CertificateError::UnknownIssuer, HandshakeFailure::Untrusted),
            (CertificateError::Revoked, HandshakeFailure::Revoked),
            (
                CertificateError::InvalidPurpose,
                HandshakeFailure::InvalidPurpose,
            ),
            (
                CertificateError::BadSignature,
                HandshakeFailure::WeakSignature,
            ),
            (CertificateError::BadEncoding, HandshakeFailure::BadEncoding),
        ] {
            assert_eq!(of_certificate(&error), expected, "{error:?}");
        }
        assert_eq!(
            of_tls(&Error::UnsupportedNameType),
            HandshakeFailure::WrongHost
        );
        for (error, expected) in [
            (
                webpki::Error::NameConstraintViolation,
                HandshakeFailure::InvalidPurpose,
            ),
            (
                webpki::Error::MaximumPathDepthExceeded,
                HandshakeFailure::Untrusted,
            ),
            (
                webpki::Error::SignatureAlgorithmMismatch,
                HandshakeFailure::WeakSignature,
            ),
            (webpki::Error::BadDer, HandshakeFailure::BadEncoding),
        ] {
            assert_eq!(of_path(&error), expected, "{error:?}");
        }
        for (alert, expected) in [
            (AlertDescription::UnknownCA, HandshakeFailure::UnknownCa),
            (
                AlertDescription::CertificateUnknown,
                HandshakeFailure::BadCertificateAlert,
            ),
            (
                AlertDescription::CertificateExpired,
                HandshakeFailure::Expired,
            ),
            (
                AlertDescription::CertificateRevoked,
                HandshakeFailure::Revoked,
            ),
            (
                AlertDescription::ProtocolVersion,
                HandshakeFailure::Incompatible,
            ),
            (
                AlertDescription::InternalError,
                HandshakeFailure::OtherAlert,
            ),
        ] {
            assert_eq!(of_alert(alert), expected, "{alert:?}");
        }
    }
}
