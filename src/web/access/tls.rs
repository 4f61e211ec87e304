//! Builds the server's TLS configuration from settings.
//!
//! Reads the files that the settings name, and records them for the caller. Sessions are never
//! resumed: a client that reconnects is verified again, by the current rules.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::clients;
use super::files::Files;
use super::mistakes::Mistake;
use super::tls_settings::{ClientAuth, Pem, PemSource, TlsSettings, Version};

/// The finished TLS configuration.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// The certificate that clients verify: it has our names.
    pub(super) certificate: CertificateDer<'static>,
    /// Whether every client needs a certificate of the client CA.
    pub(super) verifies_clients: bool,
}

impl TlsSettings {
    /// Reads certificates and key.
    pub(super) fn build(self, http2: bool, files: &mut Files) -> Result<Tls, Mistake> {
        let crypto = Arc::new(self.crypto());
        let chain = self.certificate.certificates(files)?;
        let key = self.key.key(files)?;
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.client_ca {
            for root in ca.certificates(files)? {
                roots
                    .add(root)
                    .map_err(|error| ca.wrong(format!("no use as a client's CA ({error})")))?;
            }
        }
        let client_key = self.client_ca.as_ref().unwrap_or(&self.certificate);
        let verifier = clients::verifier(self.clients, roots, self.client_names, &crypto)
            .map_err(|error| client_key.wrong(format!("no use as a client's CA ({error})")))?;
        let versions: Vec<_> = rustls::ALL_VERSIONS
            .iter()
            .copied()
            .filter(|version| (self.oldest..=self.newest).contains(&named(version.version)))
            .collect();
        let certificate = chain
            .first()
            .cloned()
            .ok_or_else(|| self.certificate.wrong(NO_CERTIFICATE))?;
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_protocol_versions(&versions)
            .map_err(|error| {
                Mistake::new(
                    self.certificate.line,
                    "tls_server_config",
                    format!("{error}: leave cipher_suites and curve_preferences out"),
                )
            })?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| {
                self.key.wrong(format!(
                    "key and certificate do not belong together ({error})"
                ))
            })?;
        config.ignore_client_order = self.own_order;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = if http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        let verifies_clients = self.clients == ClientAuth::RequireAndVerify;
        Ok(Tls {
            config: Arc::new(config),
            certificate,
            verifies_clients,
        })
    }

    /// The provider with the configured suites of TLS 1.2 and curves, in that order.
    fn crypto(&self) -> CryptoProvider {
        let mut crypto = aws_lc_rs::default_provider();
        if !self.suites.is_empty() {
            let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
            let mut suites: Vec<_> = crypto.cipher_suites.iter().copied().filter(is_13).collect();
            suites.extend(self.suites.iter().filter_map(|name| {
                let all = cipher_suite_table();
                all.into_iter()
                    .find(|suite| suite.suite().as_str() == Some(name))
            }));
            crypto.cipher_suites = suites;
        }
        if !self.curves.is_empty() {
            crypto.kx_groups = self.curves.iter().filter_map(|name| curve(name)).collect();
        }
        crypto
    }
}

fn cipher_suite_table() -> [SupportedCipherSuite; 6] {
    [
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
}

fn curve(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    match name {
        "CurveP256" => Some(kx_group::SECP256R1),
        "CurveP384" => Some(kx_group::SECP384R1),
        "X25519" => Some(kx_group::X25519),
        "X25519MLKEM768" => Some(kx_group::X25519MLKEM768),
        _ => None,
    }
}

fn named(version: ProtocolVersion) -> Version {
    if version == ProtocolVersion::TLSv1_3 {
        Version::Tls13
    } else {
        Version::Tls12
    }
}

impl Pem {
    fn certificates(&self, files: &mut Files) -> Result<Vec<CertificateDer<'static>>, Mistake> {
        let text = self.text(files)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        certificates
            .ok()
            .filter(|found| !found.is_empty())
            .ok_or_else(|| self.wrong(NO_CERTIFICATE))
    }

    fn key(&self, files: &mut Files) -> Result<PrivateKeyDer<'static>, Mistake> {
        PrivateKeyDer::from_pem_slice(&self.text(files)?).map_err(|_| self.wrong(NO_KEY))
    }

    fn text(&self, files: &mut Files) -> Result<Vec<u8>, Mistake> {
        match &self.source {
            PemSource::Inline(text) => Ok(text.clone().into_bytes()),
            PemSource::File(path) => files.read(path).map_err(|error| {
                self.wrong(format!(
                    "cannot read {}: {error}; check path and permissions",
                    path.display()
                ))
            }),
        }
    }

    fn wrong(&self, message: impl Into<String>) -> Mistake {
        Mistake::new(
            self.line,
            format!("tls_server_config.{}", self.key),
            message,
        )
    }
}

const NO_CERTIFICATE: &str = "no certificate in PEM stands there: check that it is the right file";
const NO_KEY: &str = "no private key in PEM stands there (one with a passphrase is of no use): check that it is the right file";
