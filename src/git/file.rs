//! Reads small files that anybody may have written.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The first line of a file, without the space around it.
pub(super) fn read_line(path: &Path) -> Option<String> {
    let text = read_small(path)?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// The beginning of a file as text, at most [`MAX_BYTES`]. `None` for what is no regular file: a
/// pipe would be waited for.
pub(super) fn read_small(path: &Path) -> Option<String> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether there is a folder at the path, behind links.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir())
}

fn open(path: &Path) -> Option<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    file.metadata()
        .is_ok_and(|found| found.is_file())
        .then_some(file)
}

/// The most that is read of a file: a configuration with a thousand branches has some 100 kB.
const MAX_BYTES: u64 = 1 << 20;
