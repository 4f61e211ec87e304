//! A throw-away certificate authority: it lives as long as the stand-in that made it, and only in
//! memory.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// A TLS identity could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A host is no name for a certificate, or key generation failed.
    #[error("cannot make the demo certificate: {0}; check the configured hosts")]
    Certificate(#[from] rcgen::Error),
    /// The certificate does not fit its key or the TLS library.
    #[error("cannot use the demo certificate for TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A server's side of TLS, and the root that a client must trust for it.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    pub(super) root_pem: String,
}

impl Identity {
    /// A fresh root and one leaf for all `hosts`. `alpn` in order of preference.
    pub(super) fn issue(hosts: &[String], alpn: &[&str]) -> Result<Self, PkiError> {
        let root = CertifiedIssuer::self_signed(root_params(), new_key()?)?;
        let leaf_key = new_key()?;
        let leaf = CertificateParams::new(hosts)?.signed_by(&leaf_key, &root)?;
        let key = PrivatePkcs8KeyDer::from(leaf_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.into())?;
        config.alpn_protocols = wire_alpn(alpn);
        Ok(Self {
            config: Arc::new(config),
            root_pem: root.pem(),
        })
    }
}

/// The one TLS implementation of the demo.
pub(super) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// ALPN names as rustls wants them.
pub(super) fn wire_alpn(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::CommonName,
        "Gravimeter demo provider, throw-away root",
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}
