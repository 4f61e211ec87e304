//! A certificate verifier with a custom policy (the judge) that always verifies that the peer holds
//! the certificate's key.
//!
//! The judge decides who the peer may be; the handshake's signature is verified by the provider's
//! algorithms, whatever the judge.

use std::fmt::Debug;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What a peer presents, and who it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presented<'a> {
    /// The peer's certificate.
    pub end_entity: &'a CertificateDer<'a>,
    /// The chain from there to a root.
    pub intermediates: &'a [CertificateDer<'a>],
    /// The name that the client wants to reach.
    pub name: &'a ServerName<'a>,
    /// A stapled OCSP answer; empty where there is none.
    pub ocsp: &'a [u8],
    /// The time at which it must be valid.
    pub now: UnixTime,
}

/// Decides which certificates are accepted.
pub(crate) trait Judge: Debug + Send + Sync {
    /// Whether the peer may be the one that the certificate names.
    ///
    /// # Errors
    /// Why it may not.
    fn judge(&self, presented: Presented<'_>) -> Result<ServerCertVerified, Error>;
}

/// Verifies a peer by its judge and by its signature.
#[derive(Debug)]
pub(crate) struct Proven<J> {
    /// The judge.
    pub judge: J,
    algorithms: WebPkiSupportedAlgorithms,
}

impl<J: Judge> Proven<J> {
    /// Signatures are verified as the provider does.
    #[must_use]
    pub(crate) fn new(judge: J, provider: &CryptoProvider) -> Self {
        Self {
            judge,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl<J: Judge> ServerCertVerifier for Proven<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge.judge(Presented {
            end_entity,
            intermediates,
            name,
            ocsp,
            now,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
