//! The agent's CA bundles: a file with all roots and Gravimeter's CA, and one with the CA alone.
//!
//! Input: roots; output: two files and the environment variables that name them. The system's own
//! store is never changed: only a program that is given this environment trusts the CA.

mod beside;

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use pem::Pem;
use rustix::fs::{Mode, OFlags};

use super::authority::Authority;
use super::own_ca::OwnCa;
use super::roots::{self, RootsError};

pub use beside::{Beside, environment_beside};

/// The files that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The system's roots, the extra ones and the CA: for clients whose variable replaces their
    /// roots.
    pub all: PathBuf,
    /// The CA alone: for clients whose variable adds to their roots.
    pub ca_only: PathBuf,
    /// How many roots [`Bundle::all`] holds beside the CA.
    pub roots: usize,
}

impl Bundle {
    /// The bundle that an earlier [`write()`] has left at `path`.
    ///
    /// # Errors
    /// When one of its files cannot be read.
    pub fn find(path: &Path) -> io::Result<Self> {
        let ca_only = ca_only_beside(path).ok_or(io::ErrorKind::InvalidInput)?;
        File::open(&ca_only)?;
        let roots = std::fs::read_to_string(path)?.matches(BEGIN).count();
        Ok(Self {
            all: path.to_owned(),
            ca_only,
            roots: roots.saturating_sub(1),
        })
    }
}

/// Where the CA alone lies: `<stem>.ca.pem`, beside the bundle.
fn ca_only_beside(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    Some(path.parent()?.join(format!("{stem}.ca.pem")))
}

/// The bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The operating system refused.
    #[error("cannot write the agent's CA bundle {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Every user could put another file in its place.
    #[error(
        "{path} is writable for everybody, so anybody could replace the agent's CA bundle there: choose another folder",
        path = path.display()
    )]
    OpenFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The path cannot be an environment variable.
    #[error("{path} cannot name the agent's CA bundle: give the absolute path of a file, in UTF-8", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The roots cannot be loaded.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// Writes the bundle to `path`, and the CA alone beside it (`<stem>.ca.pem`), both readable for
/// every user. A file that is there is replaced as a whole; a crash leaves the old one. One that is
/// right already is left alone, so that a start that changes nothing needs no room on the disk.
///
/// # Errors
/// [`BundleError`]; what was there before is still there then.
pub fn write(
    path: &Path,
    authority: &Authority,
    extra_roots: &[PathBuf],
) -> Result<Bundle, BundleError> {
    write_both(
        path,
        authority.certificate_pem(),
        authority.own(),
        extra_roots,
    )
}

/// The same for the CA of another process, whose certificate is given as PEM.
///
/// # Errors
/// [`BundleError`]; what was there before is still there then.
pub fn write_for(
    path: &Path,
    certificate: &str,
    extra_roots: &[PathBuf],
) -> Result<Bundle, BundleError> {
    write_both(path, certificate, &OwnCa::new([]), extra_roots)
}

fn write_both(
    path: &Path,
    own: &str,
    own_ca: &OwnCa,
    extra_roots: &[PathBuf],
) -> Result<Bundle, BundleError> {
    let wrong_path = || BundleError::Path {
        path: path.to_owned(),
    };
    let (Some(folder), Some(ca_only)) = (path.parent(), ca_only_beside(path)) else {
        return Err(wrong_path());
    };
    if !path.is_absolute() || path.to_str().is_none() {
        return Err(wrong_path());
    }
    let roots = roots::load(extra_roots, own_ca)?;
    let blocks = roots
        .iter()
        .map(|root| pem::encode_config(&Pem::new("CERTIFICATE", root.to_vec()), LINES));
    let all: String = blocks.chain([own.to_owned()]).collect();
    prepare(folder)?;
    for (path, text) in [(ca_only.as_path(), own), (path, all.as_str())] {
        if !is_right(path, text) {
            replace(folder, path, text)?;
        }
    }
    Ok(Bundle {
        all: path.to_owned(),
        ca_only,
        roots: roots.len(),
    })
}

/// The variables that make clients trust the bundle. Which client obeys which was measured, one
/// variable at a time, for Go, Node, Python (httpx, requests) and curl; the others follow the
/// manuals of Git, AWS, pip, gRPC, Cargo and Deno.
#[must_use]
pub fn environment(bundle: &Bundle) -> Vec<(String, String)> {
    let pairs = |names: &'static [&'static str], path: &Path| {
        let path = path.display().to_string();
        names
            .iter()
            .map(move |name| ((*name).to_owned(), path.clone()))
    };
    pairs(REPLACES, &bundle.all)
        .chain(pairs(ADDS, &bundle.ca_only))
        .collect()
}

/// The client trusts what is in the file, and nothing else.
const REPLACES: &[&str] = &[
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// The client trusts what is in the file beside its own roots.
const ADDS: &[&str] = &["DENO_CERT", "NODE_EXTRA_CA_CERTS"];

/// How each certificate in a bundle begins.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

const LINES: pem::EncodeConfig = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);

/// Everybody may read, only the owner may write: the agent runs as another user.
const FILE_MODE: u32 = 0o644;

fn prepare(folder: &Path) -> Result<(), BundleError> {
    let failed = |source| BundleError::Io {
        path: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(failed)?;
    if folder.metadata().map_err(failed)?.mode() & 0o002 == 0 {
        Ok(())
    } else {
        Err(BundleError::OpenFolder {
            path: folder.to_owned(),
        })
    }
}

/// Whether the file is as [`replace`] would make it: ours, readable for everybody, writable for us
/// alone, with that text. A file that cannot be read is not.
fn is_right(path: &Path, text: &str) -> bool {
    // Do not follow a link, and do not wait for a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()).map(File::from) else {
        return false;
    };
    let Ok(found) = file.metadata() else {
        return false;
    };
    let owner = rustix::process::geteuid().as_raw();
    let is_ours = found.is_file() && found.uid() == owner && found.mode() & 0o7777 == FILE_MODE;
    let mut bytes = Vec::new();
    // Reading one byte more than expected detects a longer file.
    is_ours
        && file
            .take(text.len() as u64 + 1)
            .read_to_end(&mut bytes)
            .is_ok()
        && bytes == text.as_bytes()
}

fn replace(folder: &Path, path: &Path, text: &str) -> Result<(), BundleError> {
    let failed = |source| BundleError::Io {
        path: path.to_owned(),
        source,
    };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{:016x}.tmp", rand::random::<u64>()));
    let temporary = PathBuf::from(temporary);
    let written = fill(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // A temporary file that cannot be removed stays; the first error is the one to return.
        let _ = std::fs::remove_file(&temporary);
    }
    written
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(failed)
}

fn fill(path: &Path, text: &str) -> io::Result<()> {
    // Never through a planted link: create a new file, or fail.
    let mut file = File::create_new(path)?;
    // Set afterwards, since the umask cuts the mode at creation.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
