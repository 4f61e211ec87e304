//! Reads the files that a policy is made from, and detects later whether any file has changed.
//!
//! A file is identified by inode, size and both times, links followed; one that was changed within
//! the last second before it was read could change again under the same stamp, and counts as
//! changed.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};

/// Files that were read, and how they were then.
#[derive(Default)]
pub(super) struct Files {
    seen: Vec<(PathBuf, Option<Stamp>)>,
    contents: Option<Context>,
    is_fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// The operating system's error; also for anything but a regular file, or a very large one.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        // Before it is read: a change in between is then found at the next check.
        let found = std::fs::metadata(path);
        let stamp = found.as_ref().ok().map(Stamp::of);
        self.is_fresh |= stamp.is_some_and(|stamp| stamp.is_fresh());
        self.seen.push((path.to_owned(), stamp));
        // Opening a pipe would block.
        if !found?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::Error::other(format!(
                "it is larger than {} kB",
                MAX_FILE / 1024
            )));
        }
        let contents = self.contents.get_or_insert_with(|| Context::new(&SHA256));
        contents.update(&(bytes.len() as u64).to_be_bytes());
        contents.update(&bytes);
        Ok(bytes)
    }

    /// Whether every file is as it was when it was read.
    pub(super) fn are_unchanged(&self) -> bool {
        let is_unchanged = |(path, stamp): &(PathBuf, Option<Stamp>)| {
            std::fs::metadata(path).as_ref().ok().map(Stamp::of) == *stamp
        };
        !self.is_fresh && self.seen.iter().all(is_unchanged)
    }

    /// A digest of all files that were read.
    pub(super) fn digest(&self) -> Option<Vec<u8>> {
        self.contents
            .clone()
            .map(|contents| contents.finish().as_ref().to_vec())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_fresh(self) -> bool {
        let changed = UNIX_EPOCH.checked_add(Duration::from_secs(
            u64::try_from(self.changed.0).unwrap_or(0),
        ));
        let now = SystemTime::now();
        changed.is_none_or(|changed| now.duration_since(changed).is_ok_and(|age| age < GRAIN))
    }
}

/// The bundle of all public CAs has some 220 kB.
const MAX_FILE: u64 = 1 << 20;

/// Whole seconds are compared, and file systems count in steps of up to one.
const GRAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_however_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let read = || {
            let mut files = Files::default();
            let bytes = files.read(&path);
            (files, bytes)
        };
        let (mut files, bytes) = read();
        assert_eq!(bytes.unwrap(), b"one");
        assert!(
            !files.are_unchanged(),
            "it was written just now and may be written again within the same tick"
        );
        let before = files.digest();
        files.is_fresh = false;
        assert!(files.are_unchanged());
        std::fs::write(folder.path().join("other"), "two").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert!(!files.are_unchanged(), "another file of the same size");
        let (files, _) = read();
        assert_ne!(files.digest(), before);
        std::fs::remove_file(&path).unwrap();
        assert!(!files.are_unchanged());
        let (files, bytes) = read();
        assert!(
            bytes.is_err() && files.are_unchanged(),
            "it is still not there"
        );
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        assert!(Files::default().read(&pipe).is_err());
        assert!(Files::default().read(folder.path()).is_err());
        assert!(Files::default().read(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(
            Files::default()
                .read(&path)
                .unwrap_err()
                .to_string()
                .contains("larger")
        );
    }
}
