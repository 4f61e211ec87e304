//! The step of a program into a delegated cgroup: our own executable moves itself there and is
//! replaced by the next program.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The arguments with which our executable becomes this step; the folder of the cgroup and the next
/// program with its arguments follow.
pub(super) const COMMAND: [&str; 2] = ["run-stage", "enter-cgroup"];

/// The cgroup could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The next program could not be executed.
    #[error("{0}")]
    Execute(#[source] io::Error),
    /// The kernel refused.
    #[error("{}: cannot be entered: {source}", folder.display())]
    Move {
        /// The folder of the cgroup.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No program is named.
    #[error("no program is named: this command is for gravimeter itself, not for people")]
    NoProgram,
}

/// Moves this process into the cgroup of `folder` and executes `next` there. It never returns
/// successfully.
///
/// # Errors
/// [`CgroupError`].
pub fn enter(folder: &Path, next: &[OsString]) -> Result<Infallible, CgroupError> {
    // 0 is the process that writes it: cgroups(7).
    fs::write(folder.join("cgroup.procs"), "0").map_err(|source| CgroupError::Move {
        folder: folder.to_owned(),
        source,
    })?;
    let (program, arguments) = next.split_first().ok_or(CgroupError::NoProgram)?;
    Err(CgroupError::Execute(
        Command::new(program).args(arguments).exec(),
    ))
}
