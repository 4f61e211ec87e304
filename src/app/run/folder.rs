//! The folder of one run below the state folder: its log, and the CA files for its program.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use crate::app::{Error, create_state_dir};

/// The folder of this run. Dropping it removes the CA files and leaves the log.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    log: File,
}

impl RunFolder {
    /// Makes a folder for this run, and removes what others have left behind that have ended.
    ///
    /// # Errors
    /// [`Error::StateDir`] when that cannot be written.
    pub(crate) fn create(state_dir: &Path) -> Result<Self, Error> {
        create_state_dir(state_dir)?;
        let runs = state_dir.join("runs");
        let name = format!(
            "{}-{}",
            Timestamp::now().strftime("%Y%m%dT%H%M%SZ"),
            std::process::id()
        );
        let path = runs.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let log = made.and_then(|()| {
            let log = File::options()
                .append(true)
                .create_new(true)
                .open(path.join(LOG))?;
            // Says that the run has not ended. It cannot be held by anybody else yet.
            flock(&log, FlockOperation::NonBlockingLockExclusive)?;
            Ok(log)
        });
        let log = log.map_err(|source| Error::StateDir {
            path: path.clone(),
            source,
        })?;
        clean_up(&runs);
        Ok(Self { path, log })
    }

    /// Where the log is.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The log, open for writing.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn log(&self) -> io::Result<File> {
        self.log.try_clone()
    }

    /// The file for the roots that the program trusts.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.path.join(TRUST).join("bundle.pem")
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What is left is removed by the next run.
        let _ = fs::remove_dir_all(self.path.join(TRUST));
    }
}

/// Removes what runs that have ended have left behind: the folders of all but the newest, and of
/// those the CA files, which are still there after a kill. What cannot be removed is tried again at
/// the next run.
fn clean_up(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // Their names begin with the time.
    folders.sort_unstable();
    for (age, folder) in folders.iter().rev().enumerate() {
        if has_ended(folder) {
            let rest = if age < KEPT {
                folder.join(TRUST)
            } else {
                folder.clone()
            };
            let _ = fs::remove_dir_all(rest);
        }
    }
}

/// A run holds a lock on its log.
fn has_ended(folder: &Path) -> bool {
    match File::open(folder.join(LOG)) {
        Ok(log) => flock(&log, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

const LOG: &str = "log";
const TRUST: &str = "trust";

/// Logs of so many runs are kept: a day's work.
const KEPT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_runs_and_those_under_way_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let runs = state.path().join("runs");
        for number in 0..KEPT + 5 {
            let folder = runs.join(format!("20200101T0000{number:02}Z-1"));
            fs::create_dir_all(folder.join(TRUST)).unwrap();
            fs::write(folder.join(LOG), "").unwrap();
        }
        let under_way = File::open(runs.join("20200101T000000Z-1/log")).unwrap();
        flock(&under_way, FlockOperation::LockExclusive).unwrap();
        let own = RunFolder::create(state.path()).unwrap();
        let left = fs::read_dir(&runs).unwrap().count();
        assert_eq!(
            left,
            KEPT + 1,
            "the newest with our own, and the one under way"
        );
        assert!(
            !runs.join("20200101T000024Z-1").join(TRUST).exists(),
            "a killed run leaves its CA files to the next one"
        );
        assert!(
            runs.join("20200101T000000Z-1").join(TRUST).exists(),
            "those of a run that goes on stay"
        );
        assert!(own.log_path().exists() && runs.join("20200101T000000Z-1").exists());
        drop(under_way);
        let next = state.path().join("runs/x");
        fs::create_dir(next).unwrap();
        // A process that another test starts at this moment has a copy of the lock until it executes
        // its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while runs.join("20200101T000000Z-1").exists() {
            assert!(std::time::Instant::now() < deadline, "it has ended");
            clean_up(&runs);
        }
    }

    #[test]
    fn the_log_stays_and_the_ca_files_go() {
        let state = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(state.path()).unwrap();
        fs::create_dir(folder.bundle().parent().unwrap()).unwrap();
        fs::write(folder.bundle(), "roots").unwrap();
        let (log, bundle) = (folder.log_path(), folder.bundle());
        drop(folder);
        assert!(log.exists() && !bundle.exists());
    }
}
