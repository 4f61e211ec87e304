//! The roots that providers are verified against, and that the agent's bundle is made of.
//!
//! Input: the system's store and the operator's files; output: certificates. Gravimeter's own CA is
//! never among them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};

use super::own_ca::OwnCa;

/// The roots cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// There is no root at all.
    #[error(
        "the system has no root certificates: install them (package ca-certificates), or name a file with extra roots"
    )]
    None,
    /// A file holds something else than certificates.
    #[error("{path} holds no usable PEM certificates: check that it is the roots file that was meant", path = path.display())]
    NotCertificates {
        /// The file.
        path: PathBuf,
    },
    /// A file holds Gravimeter's own CA.
    #[error(
        "{path} holds this program's own CA, which must never vouch for a provider: remove it from the file",
        path = path.display()
    )]
    OwnCa {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read the roots file {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The system's roots without Gravimeter's own CA, then those of the files; each once.
///
/// The system's roots are those that OpenSSL's tools would use, `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// included; a Gravimeter that was started inside the environment it makes for agents finds its own
/// bundle there, hence the filter.
pub(super) fn load(
    extra: &[PathBuf],
    own: &OwnCa,
) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let mut roots = of_system().to_vec();
    roots.retain(|root| !own.has_key_of(root));
    for path in extra {
        roots.extend(read(path, own)?);
    }
    let mut seen = HashSet::new();
    roots.retain(|root| seen.insert(root.clone()));
    if roots.is_empty() {
        Err(RootsError::None)
    } else {
        Ok(roots)
    }
}

/// The system's roots as they were when they were first asked for: reading them takes longer than
/// anything else at the start, and more than one part needs them.
pub(super) fn of_system() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| rustls_native_certs::load_native_certs().certs)
}

/// Reads the certificates of one file.
pub(super) fn read(path: &Path, own: &OwnCa) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let not_certificates = || RootsError::NotCertificates {
        path: path.to_owned(),
    };
    let failed = |error| match error {
        pem::Error::Io(source) => RootsError::Read {
            path: path.to_owned(),
            source,
        },
        _ => not_certificates(),
    };
    let roots: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect();
    let roots = roots.map_err(failed)?;
    if roots.is_empty()
        || roots
            .iter()
            .any(|root| webpki::anchor_from_trusted_cert(root).is_err())
    {
        return Err(not_certificates());
    }
    if roots.iter().any(|root| own.has_key_of(root)) {
        return Err(RootsError::OwnCa {
            path: path.to_owned(),
        });
    }
    Ok(roots)
}
