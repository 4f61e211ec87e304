//! The provider's certificates: a test CA, and leaves of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A certification authority that only tests know.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Pki {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// The root's certificate.
    pub fn root_pem(&self) -> &str {
        &self.pem
    }

    /// Writes the root where an upstream configuration can name it.
    pub fn write_root(&self, folder: &Path) -> PathBuf {
        let path = folder.join("test-root.pem");
        std::fs::write(&path, &self.pem).expect("a writable folder");
        path
    }

    /// Writes a certificate for `host` and its key.
    pub fn write_identity(&self, host: &str, folder: &Path) -> (PathBuf, PathBuf) {
        let (leaf, key) = self.leaf(host);
        let paths = (folder.join("identity.pem"), folder.join("identity.key"));
        std::fs::write(&paths.0, leaf.pem()).expect("a writable folder");
        std::fs::write(&paths.1, key.serialize_pem()).expect("a writable folder");
        paths
    }

    /// A server with a certificate for `host`, that speaks `alpn` in its own order.
    pub fn server(&self, host: &str, alpn: &[&str]) -> Arc<ServerConfig> {
        self.serving(host, alpn, WebPkiClientVerifier::no_client_auth())
    }

    /// One that serves only who shows a certificate of this authority.
    pub fn asking_server(&self, host: &str, alpn: &[&str]) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM"))
            .expect("a root");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto()).build();
        self.serving(host, alpn, verifier.expect("a verifier"))
    }

    fn leaf(&self, host: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([host.to_owned()]).expect("a host");
        // OpenSSL takes a certificate for self-signed that is called like its authority.
        params.distinguished_name.push(DnType::CommonName, host);
        (
            params.signed_by(&key, &self.issuer).expect("a certificate"),
            key,
        )
    }

    fn serving(
        &self,
        host: &str,
        alpn: &[&str],
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Arc<ServerConfig> {
        let (leaf, key) = self.leaf(host);
        let chain = vec![CertificateDer::from(leaf)];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .expect("a matching pair");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

pub fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
