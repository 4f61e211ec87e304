//! What keeps a way to capture a program's connections from working on this machine.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind};

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::error::Error for Obstacle {}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl Obstacle {
    /// `what` is wrong, and `remedy` says what to do about it.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A program that is not installed.
    pub(super) fn missing(program: &str) -> Self {
        let package = match program {
            "ip" => "iproute2",
            "pasta" => "passt",
            "systemd-run" => "systemd",
            "unshare" => "util-linux",
            other => other,
        };
        Self::new(
            format!("{program} is not installed"),
            format!("install the package {package}"),
        )
    }

    /// A failure of the operating system.
    pub(super) fn of_system(error: io::Error) -> Self {
        Self::new(
            format!("the system refuses: {error}"),
            "look at the limits of this user (ulimit -a)",
        )
    }

    /// A program that could not be started.
    pub(super) fn of_start(program: &OsStr, error: &io::Error) -> Self {
        let program = program.to_string_lossy();
        match error.kind() {
            ErrorKind::NotFound => Self::missing(&program),
            _ => Self::new(
                format!("{program} cannot be started: {error}"),
                format!("try `{program} --version` by hand"),
            ),
        }
    }
}

/// Whether a program is in one of the folders of `path`.
pub(super) fn is_installed(program: &str, path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let start = Obstacle::of_start(OsStr::new("pasta"), &ErrorKind::NotFound.into());
        assert_eq!(
            start.to_string(),
            "pasta is not installed; install the package passt"
        );
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_installed("pasta", folder.path().as_os_str()));
        std::fs::write(folder.path().join("pasta"), "").unwrap();
        assert!(is_installed("pasta", folder.path().as_os_str()));
    }
}
