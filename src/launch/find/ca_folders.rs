//! The CA folders of programs whose language servers are followed in their own sessions, so that
//! nobody else follows them as well: their runs would be counted twice.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Folders of CA files. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct CaFolders(Arc<Mutex<BTreeSet<PathBuf>>>);

/// One folder among [`CaFolders`], for as long as this value lives.
#[derive(Debug)]
pub(crate) struct CaFolder {
    among: CaFolders,
    path: PathBuf,
}

impl CaFolders {
    /// Adds a folder.
    pub(crate) fn add(&self, path: PathBuf) -> CaFolder {
        self.folders().insert(path.clone());
        CaFolder {
            among: self.clone(),
            path,
        }
    }

    /// Whether a folder is among them, which is asked for only where there are any.
    pub(super) fn have(&self, folder: impl FnOnce() -> Option<PathBuf>) -> bool {
        let is_empty = self.folders().is_empty();
        !is_empty && folder().is_some_and(|folder| self.folders().contains(&folder))
    }

    fn folders(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two are the same when they share their folders.
impl PartialEq for CaFolders {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CaFolders {}

impl Drop for CaFolder {
    fn drop(&mut self) {
        self.among.folders().remove(&self.path);
    }
}
