//! The step of a program into the namespace: our own executable, started by
//! [`super::Namespace::spawn`], joins the namespaces and is replaced by the next program.
//!
//! A second user namespace gives the program its own uid and gid again. In the first one it would
//! be root, as which some agents refuse to run. It can still make namespaces of its own, as
//! sandboxes do. A program of root's stays in the machine's user namespace.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{fstat, stat};
use rustix::process::{getgid, getuid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::capture::receive_descriptors;

/// The arguments with which our executable becomes this step; the next program and its arguments
/// follow.
pub const COMMAND: [&str; 3] = ["run-stage", "enter-namespace", "--"];

/// The namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The process was not started by [`super::Namespace::spawn`].
    #[error(
        "no namespace on standard input ({0}): this command is for gravimeter itself, not for people"
    )]
    Channel(#[source] io::Error),
    /// The kernel refused.
    #[error("the namespace cannot be entered: {0}")]
    Join(#[source] io::Error),
    /// The next program could not be executed.
    #[error("{0}")]
    Execute(#[source] io::Error),
    /// No program is named.
    #[error("no program is named: this command is for gravimeter itself, not for people")]
    NoProgram,
    /// unshare, which sets the uid back, could not be executed.
    #[error("unshare cannot be executed: {0}; install util-linux")]
    Unshare(#[source] io::Error),
}

/// Joins the namespaces that come through `socket`, together with the standard input for the
/// program, and executes `next` there under the uid and gid of now. It never returns successfully.
///
/// # Errors
/// [`EnterError`].
pub fn enter(socket: impl std::os::fd::AsFd, next: &[OsString]) -> Result<Infallible, EnterError> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let received = receive_descriptors(socket).map_err(EnterError::Channel)?;
    let [stdin, user, network] = <[OwnedFd; 3]>::try_from(received)
        .map_err(|_| EnterError::Channel(io::ErrorKind::UnexpectedEof.into()))?;
    let join = |namespace: &OwnedFd, kind| {
        move_into_link_name_space(namespace.as_fd(), Some(kind))
            .map_err(|errno| EnterError::Join(errno.into()))
    };
    if is_own_user_namespace(&user).map_err(EnterError::Join)? {
        join(&network, LinkNameSpaceType::Network)?;
        let (program, arguments) = next.split_first().ok_or(EnterError::NoProgram)?;
        let error = Command::new(program).args(arguments).stdin(stdin).exec();
        return Err(EnterError::Execute(error));
    }
    // The user namespace first: it gives the right to enter the other one.
    join(&user, LinkNameSpaceType::User)?;
    join(&network, LinkNameSpaceType::Network)?;
    let error = Command::new("unshare")
        .arg("--user")
        .arg(format!("--map-user={uid}"))
        .arg(format!("--map-group={gid}"))
        .arg("--")
        .args(next)
        .stdin(stdin)
        .exec();
    Err(EnterError::Unshare(error))
}

/// A namespace is its inode: namespaces(7).
fn is_own_user_namespace(namespace: &OwnedFd) -> io::Result<bool> {
    let (own, other) = (stat("/proc/self/ns/user")?, fstat(namespace)?);
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}
