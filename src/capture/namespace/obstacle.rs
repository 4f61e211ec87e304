//! What keeps this machine from making a namespace for a program, each with its remedy.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{Access, access};

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
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// pasta gives root's privileges up, and the program would lose the access to its files.
    pub(super) fn root() -> Self {
        Self::new("gravimeter runs as root", "run it as an ordinary user")
    }

    pub(super) fn of_system(error: io::Error) -> Self {
        Self::new(format!("the system refuses: {error}"), LOOK_AT_LIMITS)
    }

    pub(super) fn of_start(program: &str, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => missing(program),
            _ => Self::new(format!("{program} cannot be started: {error}"), CHECK_PASTA),
        }
    }
}

/// Everything that can be seen to stand in the way without trying. `path` is where programs are
/// searched.
#[must_use]
pub fn obstacles(path: &OsStr) -> Vec<Obstacle> {
    let path = super::with_system_folders(path);
    let mut found = Vec::new();
    if rustix::process::geteuid().is_root() {
        found.push(Obstacle::root());
    }
    let needed = ["pasta", "unshare"].into_iter();
    found.extend(
        needed
            .filter(|program| !is_installed(program, &path))
            .map(missing),
    );
    if !["iptables-restore", "nft"]
        .iter()
        .any(|program| is_installed(program, &path))
    {
        found.push(missing("iptables"));
    }
    found.extend(of_kernel());
    found
}

/// The obstacle behind a failed attempt: what the machine shows, or else what was said.
pub(super) fn of_failure(error: &io::Error, said: &str, path: &OsStr) -> Obstacle {
    if let Some(obstacle) = obstacles(path).into_iter().next() {
        return obstacle;
    }
    let why = if said.is_empty() {
        error.to_string()
    } else {
        crate::record::printable(said)
    };
    Obstacle::new(format!("pasta: {why}"), CHECK_PASTA)
}

/// Switches and devices of the kernel.
fn of_kernel() -> Vec<Obstacle> {
    let is_set_to = |name: &str, value: &str| {
        fs::read_to_string(Path::new("/proc/sys").join(name))
            .is_ok_and(|found| found.trim() == value)
    };
    let mut found = Vec::new();
    for (name, value, what, remedy) in SWITCHES {
        if is_set_to(name, value) {
            found.push(Obstacle::new(*what, *remedy));
        }
    }
    let may_use = access(TUN, Access::READ_OK | Access::WRITE_OK);
    if let Err(errno) = may_use {
        let why = io::Error::from(errno);
        found.push(Obstacle::new(
            format!("{TUN} cannot be used: {why}"),
            "load its module (sudo modprobe tun), or let everybody use it (sudo chmod 666 /dev/net/tun)",
        ));
    }
    found
}

fn is_installed(program: &str, path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

fn missing(program: &str) -> Obstacle {
    let package = match program {
        "pasta" => "passt",
        "unshare" => "util-linux",
        other => other,
    };
    Obstacle::new(
        format!("{program} is not installed"),
        format!("install the package {package}"),
    )
}

/// Settings below `/proc/sys` that forbid user namespaces to ordinary users: name, the value that
/// forbids, what that means, and the remedy.
///
/// The last one is Ubuntu's: <https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces>
const SWITCHES: &[(&str, &str, &str, &str)] = &[
    (
        "user/max_user_namespaces",
        "0",
        "user namespaces are turned off (user.max_user_namespaces = 0)",
        "sudo sysctl user.max_user_namespaces=15000",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are for root only (kernel.unprivileged_userns_clone = 0)",
        "sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1)",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give gravimeter an AppArmor profile with `userns,`",
    ),
];

const TUN: &str = "/dev/net/tun";

const CHECK_PASTA: &str = "try `pasta --config-net true` by hand";

const LOOK_AT_LIMITS: &str = "look at the limits of this user (ulimit -a)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_told_without_steering_the_terminal() {
        let error = io::Error::from(ErrorKind::UnexpectedEof);
        let folder = tempfile::tempdir().unwrap();
        // Nothing is installed there, so that the first obstacle is a missing program.
        assert!(!is_installed("pasta", folder.path().as_os_str()));
        let shown = Obstacle::new(
            format!("pasta: {}", crate::record::printable("a\u{1b}b")),
            CHECK_PASTA,
        );
        assert!(!shown.to_string().contains('\u{1b}'));
        let start = Obstacle::of_start("pasta", &ErrorKind::NotFound.into());
        assert_eq!(
            start.to_string(),
            "pasta is not installed; install the package passt"
        );
        assert!(
            !of_failure(&error, "no\u{1b}", folder.path().as_os_str())
                .to_string()
                .contains('\u{1b}')
        );
    }
}
