//! Stores the CA's two files as one: a new pair is there completely or not at all, whenever the
//! program is killed.
//!
//! Both halves are first written under `.next` names. Renaming the key decides: before it the old
//! pair counts, after it the new one, and the certificate is put in its place at once or by the
//! next start.

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::AuthorityError;
use super::folder::{Folder, FolderError};

/// A key and its certificate.
pub(super) struct Pair {
    pub(super) key: KeyPair,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pem: String,
}

/// The pair in the folder; `None` when neither file is there.
pub(super) fn load(folder: &Folder) -> Result<Option<Pair>, AuthorityError> {
    let half = |present, missing| AuthorityError::HalfPair {
        folder: folder.path(""),
        present,
        missing,
    };
    let (key, pem) = match (folder.read(KEY)?, folder.read(CERTIFICATE)?) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(half(KEY, CERTIFICATE)),
        (None, Some(_)) => return Err(half(CERTIFICATE, KEY)),
        (Some(key), Some(pem)) => (key, pem),
    };
    let not_pem = |name, what| AuthorityError::NotPem {
        path: folder.path(name),
        what,
    };
    let key = KeyPair::from_pem(&key).map_err(|_| not_pem(KEY, "private key"))?;
    let certificate = parse(&pem).ok_or_else(|| not_pem(CERTIFICATE, "certificate"))?;
    if belong_together(&key, &certificate) {
        Ok(Some(Pair {
            key,
            certificate,
            pem,
        }))
    } else {
        Err(AuthorityError::Mismatch {
            folder: folder.path(""),
        })
    }
}

/// Puts a new pair into the folder, in place of `old`.
pub(super) fn save(folder: &Folder, new: &Pair, old: Option<&Pair>) -> Result<(), FolderError> {
    folder.create(CERTIFICATE_NEXT, &new.pem)?;
    folder.create(KEY_NEXT, &new.key.serialize_pem())?;
    if let Some(old) = old {
        folder.link(
            CERTIFICATE,
            &format!("ca-{}{RETIRED}", serial(&old.certificate)),
        )?;
    }
    folder.rename(KEY_NEXT, KEY)?;
    folder.rename(CERTIFICATE_NEXT, CERTIFICATE)
}

/// Completes what a killed program began.
pub(super) fn settle(folder: &Folder) -> Result<(), FolderError> {
    if let (Some(key), Some(next)) = (folder.read(KEY)?, folder.read(CERTIFICATE_NEXT)?) {
        let decided = KeyPair::from_pem(&key)
            .ok()
            .zip(parse(&next))
            .is_some_and(|(k, c)| belong_together(&k, &c));
        if decided {
            return folder.rename(CERTIFICATE_NEXT, CERTIFICATE);
        }
    }
    folder.remove(KEY_NEXT)?;
    folder.remove(CERTIFICATE_NEXT)
}

/// The certificates that were replaced.
pub(super) fn retired(folder: &Folder) -> Result<Vec<CertificateDer<'static>>, FolderError> {
    let mut certificates = Vec::new();
    for name in folder.names()? {
        let Some(name) = name.to_str().filter(|name| name.ends_with(RETIRED)) else {
            continue;
        };
        certificates.extend(folder.read(name)?.as_deref().and_then(parse));
    }
    Ok(certificates)
}

const KEY: &str = "ca-key.pem";
const KEY_NEXT: &str = "ca-key.pem.next";
const CERTIFICATE: &str = "ca.pem";
const CERTIFICATE_NEXT: &str = "ca.pem.next";
const RETIRED: &str = ".retired.pem";

fn parse(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

fn belong_together(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info())
}

fn serial(certificate: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(certificate)
        .map(|(_, certificate)| {
            certificate
                .raw_serial()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
        .unwrap_or_default()
}
