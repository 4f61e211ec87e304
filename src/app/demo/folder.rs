//! The folder of one demo: below that of all demos of its user, so that several run side by side.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::failed;
use crate::app::Error;

/// A folder that only this demo uses.
#[derive(Debug)]
pub(super) struct DemoFolder {
    path: PathBuf,
    /// Those of its parents that were made for it, the innermost first.
    made: Vec<PathBuf>,
    /// The folder itself, locked for as long as the demo runs.
    _lock: File,
}

impl DemoFolder {
    /// Makes the folder below `all`, and removes what demos left there that were killed. With
    /// `alone`, no other demo may run there.
    ///
    /// # Errors
    /// [`Error::StateDir`] when it cannot be made, [`Error::Demo`] when another demo runs that must
    /// not.
    pub(super) fn create(all: &Path, alone: bool) -> Result<Self, Error> {
        let of_folder = |source| Error::StateDir {
            path: all.to_owned(),
            source,
        };
        let made = missing(all);
        fs::create_dir_all(all).map_err(of_folder)?;
        let others = running(all).map_err(of_folder)?;
        if let (true, Some(other)) = (alone, others.first()) {
            return Err(failed(format!(
                "another one runs already (process {other}), and both would redirect the same user: wait for its end, \
                 or start this one with --no-redirect"
            )));
        }
        let path = all.join(std::process::id().to_string());
        fs::create_dir(&path).map_err(of_folder)?;
        let lock = File::open(&path).map_err(of_folder)?;
        // Another demo that looks around holds it for a moment at most.
        flock(&lock, FlockOperation::LockExclusive).map_err(|errno| of_folder(errno.into()))?;
        Ok(Self {
            path,
            made,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder, and its parents as far as they were made for it and nothing else is in
    /// them.
    ///
    /// # Errors
    /// [`Error::StateDir`]
    pub(super) fn remove(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.path).map_err(|source| Error::StateDir {
            path: self.path.clone(),
            source,
        })?;
        for folder in &self.made {
            // One in which somebody else has put something since is no longer ours alone: it stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        // Where the demo has failed before its end; otherwise it is gone already.
        let _ = self.remove();
    }
}

/// The folder and those of its parents that do not exist yet, the innermost first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let ancestors = folder.ancestors().take_while(|folder| !folder.exists());
    ancestors.map(Path::to_owned).collect()
}

/// The processes of other demos that run. Folders of those that do not are removed.
fn running(all: &Path) -> io::Result<Vec<u32>> {
    let mut running = Vec::new();
    for entry in fs::read_dir(all)? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Between the making of a folder and its lock there is a moment in which only the process
        // shows that it is in use.
        let is_free = |folder: &Path| {
            let lock = File::open(folder)?;
            Ok::<_, io::Error>(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok())
        };
        if Path::new("/proc").join(pid.to_string()).exists() && pid != std::process::id() {
            if !is_free(&folder).unwrap_or(false) {
                running.push(pid);
            }
        } else if is_free(&folder).unwrap_or(false) {
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demos_have_folders_of_their_own_and_those_of_killed_ones_go() {
        let state = tempfile::tempdir().unwrap();
        let all = state.path().join("state/demo");
        // A pid beyond the kernel's largest, and one that is in use by a process with a lock.
        let (killed, other) = (all.join("4194305"), all.join("1"));
        for folder in [&killed, &other, &all.join("of-somebody-else")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("file"), "").unwrap();
        }
        let lock = File::open(&other).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();

        let refused = DemoFolder::create(&all, true).unwrap_err().to_string();
        assert!(
            refused.contains("process 1") && refused.contains("--no-redirect"),
            "{refused}"
        );
        let folder = DemoFolder::create(&all, false).unwrap();
        assert!(folder.path().is_dir() && other.exists() && !killed.exists());
        folder.remove().unwrap();
        assert!(!folder.path().exists() && other.exists());
    }

    #[test]
    fn parents_that_were_made_for_it_go_with_it() {
        let state = tempfile::tempdir().unwrap();
        let folder = DemoFolder::create(&state.path().join("state/demo"), true).unwrap();
        folder.remove().unwrap();
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
