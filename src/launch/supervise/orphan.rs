//! The record of the running agent, by which it is found after a `kill -9` of the supervisor.
//!
//! Killing sudo or the supervisor leaves the agent running, and another user may not signal it; but
//! it can be asked for.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::launch::LaunchError;
use crate::launch::process::Identity;

/// The file `agent.json` in the state folder.
#[derive(Debug)]
pub(super) struct StateFile(PathBuf);

/// What it says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Pids and start times mean nothing after a reboot.
    boot_id: String,
    /// The agent's user.
    pub(super) user: String,
}

impl StateFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("agent.json"))
    }

    /// Writes the record before the agent is started: there is no moment in which it runs unknown.
    pub(super) fn remember(&self, identity: Identity, user: &str) -> Result<(), LaunchError> {
        let written = boot_id().and_then(|boot_id| {
            let remembered = Remembered {
                identity,
                boot_id,
                user: user.to_owned(),
            };
            self.replace(&serde_json::to_vec(&remembered)?)
        });
        written.map_err(|source| LaunchError::StateFile {
            path: self.0.clone(),
            source,
        })
    }

    /// The agent of an earlier run on this boot. A file that cannot be read as one says nothing of
    /// a process.
    pub(super) fn recall(&self) -> Option<Remembered> {
        let remembered: Remembered = serde_json::from_slice(&fs::read(&self.0).ok()?).ok()?;
        (boot_id().ok()? == remembered.boot_id).then_some(remembered)
    }

    /// Removes the record; it is wrong from now on.
    pub(super) fn forget(&self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "the record of an ended agent could not be removed");
        }
    }

    fn replace(&self, content: &[u8]) -> io::Result<()> {
        let new = self.0.with_extension("json.new");
        // A left-over file or link, whoever made it: it is removed, never followed.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(content)?;
        fs::rename(&new, &self.0)
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const IDENTITY: Identity = Identity {
        pid: 12,
        start_time: 34,
    };

    #[test]
    fn what_is_remembered_is_recalled_until_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path());
        assert_eq!(file.recall(), None);
        file.remember(Identity { pid: 1, ..IDENTITY }, "old")
            .expect("written");
        file.remember(IDENTITY, "ann").expect("written");
        let remembered = file.recall().expect("a record");
        assert_eq!(
            (remembered.identity, remembered.user.as_str()),
            (IDENTITY, "ann")
        );
        let mode = fs::metadata(&file.0)
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        file.forget();
        file.forget();
        assert_eq!(file.recall(), None);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn records_of_another_boot_and_broken_ones_are_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path());
        let stale = r#"{"pid":1,"start_time":2,"boot_id":"00000000-0000-0000-0000-000000000000","user":"ann"}"#;
        for content in [stale, "", "{", "null"] {
            fs::write(&file.0, content).expect("a file");
            assert_eq!(file.recall(), None, "{content}");
        }
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").expect("a file");
        std::os::unix::fs::symlink(&victim, folder.path().join("agent.json.new")).expect("a link");
        StateFile::new(folder.path())
            .remember(IDENTITY, "ann")
            .expect("written");
        assert_eq!(fs::read_to_string(&victim).expect("the victim"), "mine");
    }

    #[test]
    fn a_missing_folder_is_told_with_its_path() {
        let error = StateFile::new(Path::new("/nonexistent"))
            .remember(IDENTITY, "ann")
            .expect_err("no folder");
        assert!(
            error.to_string().starts_with("/nonexistent/agent.json: "),
            "{error}"
        );
    }
}
