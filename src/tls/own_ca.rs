//! Recognises Gravimeter's own CA, so that it is never accepted from upstream.
//!
//! A holder of the CA key (the observed agent, perhaps) could otherwise pose as the provider. Keys
//! are compared as webpki reads them, so no difference between two parsers can hide one.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier as _};
use rustls::{CertificateError, Error, OtherError};
use rustls_pki_types::{CertificateDer, Der};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::proof::{Judge, Presented};

/// Gravimeter's CA certificates: the current one and those it has replaced.
#[derive(Debug, Clone)]
pub(super) struct OwnCa(Arc<[CertificateDer<'static>]>);

/// The chain leads to Gravimeter's own CA.
#[derive(Debug, thiserror::Error)]
#[error("the certificate chain leads to this program's own CA")]
pub(super) struct OwnCaPresented;

impl OwnCa {
    pub(super) fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self(certificates.into_iter().collect())
    }

    /// Whether the certificate carries the key of an own CA, under whatever name.
    pub(super) fn has_key_of(&self, certificate: &CertificateDer<'_>) -> bool {
        let key = key(certificate);
        key.is_some() && self.0.iter().any(|own| self::key(own) == key)
    }

    /// Whether an own CA signed the certificate.
    fn signed(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        self.0.iter().any(|own| {
            X509Certificate::from_der(own)
                .is_ok_and(|(_, own)| certificate.verify_signature(Some(own.public_key())).is_ok())
        })
    }
}

/// The usual verification, without any path through an own CA.
#[derive(Debug)]
pub(super) struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    own: OwnCa,
}

impl Verifier {
    /// `usual` must not have an own CA among its roots: a trusted root is not part of what a peer
    /// presents.
    pub(super) fn new(usual: Arc<WebPkiServerVerifier>, own: OwnCa) -> Self {
        Self { usual, own }
    }
}

impl Judge for Verifier {
    fn judge(&self, presented: Presented<'_>) -> Result<ServerCertVerified, Error> {
        let Presented {
            end_entity,
            intermediates,
            name,
            ocsp,
            now,
        } = presented;
        if std::iter::once(end_entity)
            .chain(intermediates)
            .any(|presented| self.own.has_key_of(presented))
        {
            return Err(own_ca());
        }
        let verdict = self
            .usual
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        // Refused in any case; the signature is looked at only to name the reason.
        verdict.map_err(|error| {
            if self.own.signed(end_entity) {
                own_ca()
            } else {
                error
            }
        })
    }
}

fn own_ca() -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
        OwnCaPresented,
    ))))
}

fn key(certificate: &CertificateDer<'_>) -> Option<Der<'static>> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).ok()?;
    Some(Der::from(anchor.subject_public_key_info.to_vec()))
}
