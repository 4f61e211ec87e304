//! The CA: made on this machine, for this installation. It signs for the intercepted hosts and
//! nothing else, and its certificate says so as narrowly as name constraints can.
//!
//! Input: a folder, the permitted hosts and the time; output: an [`Authority`]. The key never
//! leaves this room: what is to be signed is passed in. Files that another user could have read,
//! written or planted are refused, never repaired.

mod folder;
mod profile;
mod store;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest;
use rcgen::{Certificate, CertificateParams, Issuer, KeyPair, SanType};
use rustls_pki_types::CertificateDer;

use super::own_ca::OwnCa;
use crate::record::{Host, HostPattern};
use folder::Folder;
use store::Pair;

pub use folder::FolderError;

/// The CA: its key and its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    key_info: Vec<u8>,
    not_after: SystemTime,
    own: OwnCa,
    permitted: Vec<HostPattern>,
}

/// Where the CA came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// There was none: it was made.
    Created,
    /// From its files.
    Loaded,
    /// Its files were no longer of use: a new one replaced it, and clients need the new
    /// certificate.
    Renewed(RenewReason),
}

/// Why a CA was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewReason {
    /// Its name constraints are not those of the permitted hosts.
    Constraints,
    /// It has expired.
    Expired,
    /// Fewer than 30 days of its life remain.
    ExpiresSoon,
    /// Its life has not begun: it was made by a clock that was ahead.
    NotYetValid,
}

impl fmt::Display for RenewReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constraints => "the hosts to intercept have changed",
            Self::Expired => "it had expired",
            Self::ExpiresSoon => "it would have expired soon",
            Self::NotYetValid => "it was made by a clock that was ahead",
        })
    }
}

/// The CA cannot be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The folder or a file is not safe, or not accessible.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// One of the two files is missing.
    #[error(
        "{folder} holds {present} but no {missing}: restore it, or move {present} away to have a new CA made",
        folder = folder.display()
    )]
    HalfPair {
        /// The folder.
        folder: PathBuf,
        /// The name of the file that is there.
        present: &'static str,
        /// The name of the file that is not.
        missing: &'static str,
    },
    /// Key or certificate cannot be made.
    #[error("cannot make the CA: {0}")]
    Make(#[from] rcgen::Error),
    /// The key is not that of the certificate.
    #[error(
        "the key in {folder} does not belong to the certificate there: restore the pair, or move both files away to have a new CA made",
        folder = folder.display()
    )]
    Mismatch {
        /// The folder.
        folder: PathBuf,
    },
    /// A file holds something else.
    #[error("{path} holds no PEM {what}: restore it, or move both files of the CA away to have a new one made", path = path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
}

/// A certificate was not signed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignError {
    /// It would be for a host that is not intercepted, or for none at all.
    #[error("the CA signs for hosts that match intercept.hosts only")]
    NotPermitted,
    /// The cryptographic library failed.
    #[error(transparent)]
    Sign(#[from] rcgen::Error),
}

impl Authority {
    /// Loads the CA from `ca-key.pem` and `ca.pem` in `directory`, or makes it when neither is
    /// there. A CA that is expired, ends within 30 days or permits other hosts is replaced by a new
    /// one; its certificate stays as `ca-<serial>.retired.pem`, its key goes.
    ///
    /// # Errors
    /// [`AuthorityError`] when a file is not safe or not what it should be. Nothing is overwritten
    /// then.
    pub fn load_or_create(
        directory: &Path,
        permitted: &[HostPattern],
        now: SystemTime,
    ) -> Result<(Self, Origin), AuthorityError> {
        let folder = Folder::open(directory)?;
        store::settle(&folder)?;
        let (pair, origin) = match store::load(&folder)? {
            None => (replace(&folder, None, permitted, now)?, Origin::Created),
            Some(pair) => match profile::renew_reason(&pair.certificate, permitted, now) {
                None => (pair, Origin::Loaded),
                Some(reason) => (
                    replace(&folder, Some(&pair), permitted, now)?,
                    Origin::Renewed(reason),
                ),
            },
        };
        let own = OwnCa::new(
            store::retired(&folder)?
                .into_iter()
                .chain([pair.certificate.clone()]),
        );
        Ok((Self::new(pair, own, permitted)?, origin))
    }

    /// Replaces the CA in `directory` by a new one, whatever its age, or makes the first. The old
    /// certificate stays as `ca-<serial>.retired.pem`, its key goes.
    ///
    /// # Errors
    /// As [`Authority::load_or_create`].
    pub fn renew(
        directory: &Path,
        permitted: &[HostPattern],
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let folder = Folder::open(directory)?;
        store::settle(&folder)?;
        let old = store::load(&folder)?;
        let pair = replace(&folder, old.as_ref(), permitted, now)?;
        let own = OwnCa::new(
            store::retired(&folder)?
                .into_iter()
                .chain([pair.certificate.clone()]),
        );
        Ok(Self::new(pair, own, permitted)?)
    }

    /// The certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The public key, as a DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn subject_public_key_info(&self) -> &[u8] {
        &self.key_info
    }

    /// When the certificate ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// SHA-256 of the certificate, in lower-case hexadecimal digits without separators.
    #[must_use]
    pub fn fingerprint_sha256(&self) -> String {
        let digest = digest::digest(&digest::SHA256, &self.certificate);
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Signs a certificate for `key`. Every name in it must be that of a permitted host: the
    /// constraints in the CA's own certificate are wider than a pattern with a `*`.
    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<Certificate, SignError> {
        let is_permitted = |name: &SanType| match name {
            SanType::DnsName(name) => {
                Host::parse(name.as_str()).is_ok_and(|host| self.permits(&host))
            }
            _ => false,
        };
        let names = &params.subject_alt_names;
        if names.is_empty() || !names.iter().all(is_permitted) {
            return Err(SignError::NotPermitted);
        }
        Ok(params.signed_by(key, &self.issuer)?)
    }

    fn permits(&self, host: &Host) -> bool {
        self.permitted.iter().any(|pattern| pattern.matches(host))
    }

    /// This CA and those it has replaced.
    pub(super) fn own(&self) -> &OwnCa {
        &self.own
    }

    fn new(pair: Pair, own: OwnCa, permitted: &[HostPattern]) -> Result<Self, rcgen::Error> {
        use rcgen::PublicKeyData as _;
        let key_info = pair.key.subject_public_key_info();
        let not_after = profile::validity(&pair.certificate)
            .map_or(SystemTime::UNIX_EPOCH, |validity| validity.end);
        let issuer = Issuer::from_ca_cert_der(&pair.certificate, pair.key)?;
        let permitted = permitted.to_vec();
        Ok(Self {
            issuer,
            certificate: pair.certificate,
            pem: pair.pem,
            key_info,
            not_after,
            own,
            permitted,
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("fingerprint_sha256", &self.fingerprint_sha256())
            .finish_non_exhaustive()
    }
}

fn replace(
    folder: &Folder,
    old: Option<&Pair>,
    permitted: &[HostPattern],
    now: SystemTime,
) -> Result<Pair, AuthorityError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = profile::params(permitted, now).self_signed(&key)?;
    let new = Pair {
        key,
        pem: certificate.pem(),
        certificate: certificate.der().clone(),
    };
    store::save(folder, &new, old)?;
    Ok(new)
}

#[cfg(test)]
mod tests;
