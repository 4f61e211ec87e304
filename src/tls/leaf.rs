//! Leaf certificates: what the agent sees in place of the provider's certificate.
//!
//! Input: a verified host and the provider's choice of protocol; output: a [`ServerConfig`]. A leaf
//! is minted once per host, at the first request, and kept in a bounded cache; all leaves share one
//! key that lives as long as the process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::future::Cache;
use rcgen::string::Ia5String;
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::authority::{Authority, SignError};
use super::x509::{self, BACKDATE, DAY};
use crate::record::{Host, LeafResult};

/// Mints and keeps the leaves.
pub struct Leaves {
    authority: Arc<Authority>,
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    /// What all configurations share: versions, ciphers, and the key of the session tickets. A
    /// ticket holds the whole session and is accepted only for the name it was made for, so
    /// sessions resume without a store that grows.
    template: ServerConfig,
    cache: Cache<Host, Result<Leaf, LeafError>>,
}

/// Why there is no leaf.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeafError {
    /// The CA is expired.
    #[error("the CA is expired: start the program again, which renews it")]
    AuthorityExpired,
    /// The leaf cannot be made.
    #[error("cannot make a leaf certificate: {0}")]
    Mint(#[from] SignError),
    /// Its key cannot be used for TLS.
    #[error("cannot set up TLS for the agent: {0}")]
    Tls(#[from] rustls::Error),
}

impl Leaves {
    /// Makes the leaves' key.
    ///
    /// # Errors
    /// [`LeafError`] when the cryptographic library fails.
    pub fn new(authority: Arc<Authority>) -> Result<Self, LeafError> {
        let provider = super::provider();
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(SignError::from)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing_key = provider.key_provider.load_private_key(der)?;
        let mut template = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(super::VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        template.session_storage = Arc::new(NoServerSessionStorage {});
        template.ticketer = Ticketer::new()?;
        let cache = Cache::builder()
            .max_capacity(MAX_LEAVES)
            .time_to_live(REUSE)
            .build();
        Ok(Self {
            authority,
            key,
            signing_key,
            template,
            cache,
        })
    }

    /// The configuration for a handshake with the agent: a leaf for `host`, and `alpn` as the only
    /// protocol, or none.
    ///
    /// # Errors
    /// [`LeafError`] when the leaf cannot be made; the next call tries again.
    pub async fn server_config(
        &self,
        host: &Host,
        alpn: Option<&[u8]>,
    ) -> Result<(Arc<ServerConfig>, LeafResult), LeafError> {
        let (leaf, result) = self.leaf(host, SystemTime::now()).await?;
        let mut config = self.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(leaf.certified));
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        Ok((Arc::new(config), result))
    }

    async fn leaf(&self, host: &Host, now: SystemTime) -> Result<(Leaf, LeafResult), LeafError> {
        let entry = self
            .cache
            .entry_by_ref(host)
            .or_insert_with_if(async { self.mint(host, now) }, |cached| {
                !cached.as_ref().is_ok_and(|leaf| leaf.serves(now))
            })
            .await;
        let result = if entry.is_fresh() {
            LeafResult::Minted
        } else {
            LeafResult::Cached
        };
        entry.into_value().map(|leaf| (leaf, result))
    }

    fn mint(&self, host: &Host, now: SystemTime) -> Result<Leaf, LeafError> {
        let (start, end) = (now - BACKDATE, (now + LIFE).min(self.authority.not_after()));
        if now >= end {
            return Err(LeafError::AuthorityExpired);
        }
        let mut params = x509::params(SUBJECT, start, end);
        params.subject_alt_names = vec![SanType::DnsName(
            Ia5String::try_from(host.as_str()).map_err(SignError::from)?,
        )];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = self.authority.sign(&params, &self.key)?;
        let certified = CertifiedKey::new(
            vec![certificate.der().clone()],
            Arc::clone(&self.signing_key),
        );
        Ok(Leaf {
            certified: Arc::new(certified),
            start,
            reuse_until: (now + REUSE).min(end),
        })
    }
}

#[derive(Debug, Clone)]
struct Leaf {
    certified: Arc<CertifiedKey>,
    start: SystemTime,
    reuse_until: SystemTime,
}

impl Leaf {
    /// Whether the wall clock, which the agent judges by and which can jump, still lies within the
    /// leaf's life.
    fn serves(&self, now: SystemTime) -> bool {
        (self.start..self.reuse_until).contains(&now)
    }
}

/// A stolen leaf key is worth at most this long.
const LIFE: Duration = DAY.saturating_mul(7);

/// Half of the life, so that whatever leaves the cache has days left.
const REUSE: Duration = Duration::from_secs(LIFE.as_secs() / 2);

/// An agent that asks for random names must not grow memory: about 1 KiB a leaf.
const MAX_LEAVES: u64 = 1024;

/// The subject names the maker, never the host: some clients still take a name from there, past the
/// constraints.
const SUBJECT: &str = "Gravimeter";

#[cfg(test)]
mod tests;
