//! The provider's side of a connection: a handshake that ends in a verified session, or in the
//! reason why not.
//!
//! Input: a TCP stream, the host that the agent asked for and its protocols; output: a
//! [`VerifiedUpstream`]. It can be made nowhere else, so its existence is the proof. Nothing turns
//! verification off; extra roots come from files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rustls::client::{VerifierBuilderError, WantsClientCert, WebPkiServerVerifier};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::Authority;
use super::own_ca::{self, OwnCa};
use super::proof::Proven;
use super::read_ahead::ReadAhead;
use super::{failure, handshake, roots};
use crate::record::{Handshake, HandshakeFailure, Host, Side};

pub use super::roots::RootsError;

/// The operator's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// PEM files with roots that are trusted beside the system's.
    pub extra_roots: Vec<PathBuf>,
}

/// Makes verified sessions with providers; one for the process, so that sessions are resumed.
pub struct Upstream {
    template: ClientConfig,
}

/// Verification cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The roots cannot be loaded.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The cryptographic library supports none of Gravimeter's TLS versions.
    #[error("cannot set up TLS for providers: {0}")]
    Tls(#[from] rustls::Error),
    /// No root is left to verify with.
    #[error("cannot set up the verification of providers: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// How many roots providers would be verified against, without making a CA to leave out.
///
/// # Errors
/// [`RootsError`] when they cannot be loaded.
pub fn count_roots(config: &Config) -> Result<usize, RootsError> {
    roots::load(&config.extra_roots, &OwnCa::new([])).map(|roots| roots.len())
}

impl Upstream {
    /// Loads the system's roots and the extra ones, without Gravimeter's own CA.
    ///
    /// # Errors
    /// [`UpstreamError`] when there are no roots, or a file is missing, empty, no PEM, or holds the
    /// own CA of Gravimeter.
    pub fn new(config: &Config, own: &Authority) -> Result<Self, UpstreamError> {
        let roots = roots::load(&config.extra_roots, own.own())?;
        verifying(roots, own.own()).map(|verifying| Self {
            template: verifying.with_no_client_auth(),
        })
    }

    /// The handshake with the provider, offering the agent's protocols. The caller sets the limit
    /// in time.
    ///
    /// # Errors
    /// The [`HandshakeFailure`]; no byte of the agent has been sent then.
    pub async fn handshake(
        &self,
        tcp: TcpStream,
        host: &Host,
        alpn: &[Vec<u8>],
    ) -> Result<VerifiedUpstream, HandshakeFailure> {
        let start = Instant::now();
        // A host that rustls does not accept as a DNS name cannot stand in a certificate either.
        let name = ServerName::try_from(host.as_str().to_owned())
            .map_err(|_| HandshakeFailure::WrongHost)?;
        let mut config = self.template.clone();
        config.alpn_protocols = alpn.to_vec();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(name, ReadAhead::new(Bytes::new(), tcp))
            .await
            .map_err(|error| failure::of_io(&error))?;
        let handshake = handshake::describe(stream.get_ref().1, Side::Upstream, start.elapsed())?;
        Ok(VerifiedUpstream { stream, handshake })
    }
}

/// A configuration with a verifier, but no client certificate yet.
pub(super) type Verifying = ConfigBuilder<ClientConfig, WantsClientCert>;

/// Verifies by these roots, but never accepts Gravimeter's own CA.
pub(super) fn verifying(
    roots: Vec<CertificateDer<'static>>,
    own: &OwnCa,
) -> Result<Verifying, UpstreamError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = super::provider();
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
        .build()?;
    let verifier = Proven::new(own_ca::Verifier::new(usual, own.clone()), &provider);
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(super::VERSIONS)?
        .dangerous() // rustls calls every verifier of one's own so; this one only refuses more
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// A session with a provider whose certificate was verified for the host that the agent asked for.
#[derive(Debug)]
pub struct VerifiedUpstream {
    stream: TlsStream<ReadAhead<TcpStream>>,
    handshake: Handshake,
}

impl VerifiedUpstream {
    /// The application protocol that the provider chose.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }

    /// How the handshake went.
    #[must_use]
    pub fn handshake(&self) -> Handshake {
        self.handshake
    }

    /// The session itself.
    #[must_use]
    pub fn into_stream(self) -> TlsStream<ReadAhead<TcpStream>> {
        self.stream
    }
}

#[cfg(test)]
mod tests;
