//! TLS for Gravimeter's own connections: how the collector of spans is verified, and what it is
//! shown.
//!
//! Input: the operator's files or the system's roots; output: a client configuration. Gravimeter's
//! own CA is never trusted here either.

use std::path::{Path, PathBuf};

use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;
use super::roots;
use super::upstream::{UpstreamError, verifying};

/// TLS with the collector cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The files by which the collector knows us are of no use.
    #[error(
        "{certificate} and {key} are no usable certificate with its key: check that both are readable PEM files that belong together",
        certificate = certificate.display(), key = key.display()
    )]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The collector cannot be verified.
    #[error(transparent)]
    Verification(#[from] UpstreamError),
}

/// The files by which the two ends authenticate each other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// The roots that may vouch for the collector, and no others; those of the system where there
    /// is none.
    pub roots: Option<&'a Path>,
    /// The certificate that the collector is shown, and its key.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// The TLS settings of connections to the collector.
///
/// # Errors
/// [`CollectorError`] when there are no roots, or a file is missing, empty, no PEM, or holds the
/// own CA of Gravimeter.
pub fn client(files: Files<'_>, own: &Authority) -> Result<ClientConfig, CollectorError> {
    let roots = match files.roots {
        Some(path) => roots::read(path, own.own()),
        None => roots::load(&[], own.own()),
    };
    let verified = verifying(roots.map_err(UpstreamError::from)?, own.own())?;
    let Some((certificate, key)) = files.identity else {
        return Ok(verified.with_no_client_auth());
    };
    let bad = || CollectorError::Identity {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|_| bad())?
        .collect();
    let (chain, key) = (
        chain.map_err(|_| bad())?,
        PrivateKeyDer::from_pem_file(key).map_err(|_| bad())?,
    );
    verified
        .with_client_auth_cert(chain, key)
        .map_err(|_| bad())
}
