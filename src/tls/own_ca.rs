//! Recognises the house's own CA, so that it is never accepted from upstream.
//!
//! Whoever holds the CA key (the observed agent, perhaps) could otherwise pose as the provider. Certificates enter, an
//! answer leaves. Keys are compared as webpki reads them, so no difference between two parsers can hide one.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, Der, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The house's CA certificates: the current one and those it has replaced.
#[derive(Debug, Clone)]
pub(super) struct OwnCa(Arc<[CertificateDer<'static>]>);

/// The chain leads to the house's own CA.
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
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        self.0.iter().any(|own| {
            X509Certificate::from_der(own)
                .is_ok_and(|(_, own)| certificate.verify_signature(Some(own.public_key())).is_ok())
        })
    }
}

/// The usual verification, and no path through an own CA.
#[derive(Debug)]
pub(super) struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    own: OwnCa,
}

impl Verifier {
    /// `usual` must not have an own CA among its roots: a trusted root is not part of what a peer presents.
    pub(super) fn new(usual: Arc<WebPkiServerVerifier>, own: OwnCa) -> Self {
        Self { usual, own }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if std::iter::once(end_entity).chain(intermediates).any(|presented| self.own.has_key_of(presented)) {
            return Err(own_ca());
        }
        let verdict = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // Refused in any case; the signature is looked at only to name the reason.
        verdict.map_err(|error| if self.own.signed(end_entity) { own_ca() } else { error })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.usual.root_hint_subjects()
    }
}

fn own_ca() -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(OwnCaPresented))))
}

fn key(certificate: &CertificateDer<'_>) -> Option<Der<'static>> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).ok()?;
    Some(Der::from(anchor.subject_public_key_info.to_vec()))
}
