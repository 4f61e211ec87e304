//! What keeps this machine from making a namespace for a program, each with its remedy.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::Carrier;
use crate::capture::obstacle::{Obstacle, is_installed};

/// Everything that can be seen to stand in the way without trying. `path` is where programs are
/// searched.
#[must_use]
pub fn obstacles(carrier: Carrier, path: &OsStr) -> Vec<Obstacle> {
    let path = super::with_system_folders(path);
    let needed: &[&str] = match carrier {
        Carrier::Own => &["unshare", "ip"],
        Carrier::Pasta => &["pasta", "unshare"],
    };
    let needed = needed.iter();
    let mut found: Vec<_> = needed
        .filter(|program| !is_installed(program, &path))
        .map(|program| Obstacle::missing(program))
        .collect();
    if !["iptables-restore", "nft"]
        .iter()
        .any(|program| is_installed(program, &path))
    {
        found.push(Obstacle::missing("iptables"));
    }
    found.extend(of_privileges());
    if carrier == Carrier::Pasta {
        found.extend(of_tun());
    }
    found
}

/// The obstacle behind a failed attempt: what the machine shows, or else what was said.
pub(super) fn of_failure(
    carrier: Carrier,
    error: &io::Error,
    said: &str,
    path: &OsStr,
) -> Obstacle {
    if let Some(obstacle) = obstacles(carrier, path).into_iter().next() {
        return obstacle;
    }
    let why = if said.is_empty() {
        error.to_string()
    } else {
        crate::record::printable(said)
    };
    match carrier {
        Carrier::Own => Obstacle::new(why, CHECK_UNSHARE),
        Carrier::Pasta => Obstacle::new(format!("pasta: {why}"), CHECK_PASTA),
    }
}

/// What keeps this process from making namespaces: for an ordinary user the switches of the kernel,
/// for root the capabilities that a container has left it.
fn of_privileges() -> Vec<Obstacle> {
    if rustix::process::geteuid().is_root() {
        let status = procfs::process::Process::myself().and_then(|own| own.status());
        let is_capable =
            status.is_ok_and(|status| status.capeff & NEEDED_OF_ROOT == NEEDED_OF_ROOT);
        let lack = || {
            Obstacle::new(
                "this root may make no namespaces",
                "give the container CAP_SYS_ADMIN and CAP_NET_ADMIN, or use --scope proxy",
            )
        };
        return if is_capable { Vec::new() } else { vec![lack()] };
    }
    let is_set_to = |name: &str, value: &str| {
        fs::read_to_string(Path::new("/proc/sys").join(name))
            .is_ok_and(|found| found.trim() == value)
    };
    let switches = SWITCHES.iter();
    switches
        .filter(|(name, value, _, _)| is_set_to(name, value))
        .map(|(_, _, what, remedy)| Obstacle::new(*what, *remedy))
        .collect()
}

fn of_tun() -> Option<Obstacle> {
    let errno = access(TUN, Access::READ_OK | Access::WRITE_OK).err()?;
    Some(Obstacle::new(
        format!("{TUN} cannot be used: {}", io::Error::from(errno)),
        "load its module (sudo modprobe tun), or let everybody use it (sudo chmod 666 /dev/net/tun)",
    ))
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
const CHECK_UNSHARE: &str = "try `unshare --user --map-root-user --net true` by hand";

/// CAP_NET_ADMIN (12) and CAP_SYS_ADMIN (21): capabilities(7).
const NEEDED_OF_ROOT: u64 = 1 << 12 | 1 << 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_explained_by_what_is_missing_and_no_word_steers_the_terminal() {
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        for carrier in [Carrier::Own, Carrier::Pasta] {
            let shown = of_failure(carrier, &error, "no\u{1b}", OsStr::new("/")).to_string();
            assert!(!shown.contains('\u{1b}') && shown.contains("; "), "{shown}");
        }
    }
}
