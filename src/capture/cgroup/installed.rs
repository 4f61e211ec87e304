//! What `gravimeter redirect install --cgroup` has left on this machine, and where its cgroup is.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::Entry;
use crate::capture::Obstacle;
use crate::capture::obstacle::is_installed;

/// The name of the redirect rules for a cgroup, beside those for a user.
pub const INSTANCE: &str = "gravimeter-run";

/// Where they lead unless another port is asked for: not where those for a user lead, so that
/// `gravimeter serve` and a program in the cgroup do not get in each other's way.
pub const PORT: u16 = 8744;

/// The cgroup of a user's programs unless another one is asked for: a slice of the user's systemd.
#[must_use]
pub fn default_path(uid: u32) -> String {
    format!("user.slice/user-{uid}.slice/user@{uid}.service/gravimeter.slice")
}

/// The record of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    /// The cgroup's path below the root of the hierarchy, without a leading slash.
    pub(super) path: String,
    /// The local port to which its connections are led.
    pub(super) port: u16,
}

impl Installed {
    pub(super) fn read() -> Result<Self, Obstacle> {
        let record = fs::read_to_string(Path::new(RECORDS).join(INSTANCE).join("cgroup"));
        let installed = record.ok().and_then(|record| Self::parse(&record));
        installed
            .ok_or_else(|| Obstacle::new("no redirect rules for a cgroup are installed", INSTALL))
    }

    /// `port path`, as `scripts/mitm-redirect.sh` writes it.
    fn parse(record: &str) -> Option<Self> {
        let (port, path) = record.trim_end_matches('\n').split_once(' ')?;
        Some(Self {
            path: path.to_owned(),
            port: port.parse().ok()?,
        })
    }

    /// The folder of the cgroup.
    pub(super) fn folder(&self) -> Result<PathBuf, Obstacle> {
        let root = hierarchy().ok_or_else(|| {
            Obstacle::new(
                "this machine has no cgroup v2 hierarchy",
                "mount one (mount -t cgroup2 none /sys/fs/cgroup), or use another scope",
            )
        })?;
        let folder = root.join(&self.path);
        if folder.is_dir() {
            Ok(folder)
        } else {
            Err(Obstacle::new(
                format!("the cgroup {} is gone", self.path),
                format!(
                    "{INSTALL} again; a cgroup of your systemd ends with your last session unless you `loginctl enable-linger`"
                ),
            ))
        }
    }

    /// Whether this process is in the cgroup: its own connections would come back to it.
    pub(super) fn holds_this_process(&self) -> bool {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        own.is_some_and(|own| Path::new(own).starts_with(&self.path))
    }

    /// The ways into the cgroup that may work, the simplest first.
    pub(super) fn entries(&self, folder: PathBuf, path: &OsStr) -> Vec<Entry> {
        let mut entries = vec![Entry::Delegated(folder)];
        let slice = self.path.rsplit('/').next().unwrap_or_default();
        if slice.ends_with(".slice") && is_installed("systemd-run", path) {
            entries.push(Entry::Systemd(slice.to_owned()));
        }
        entries
    }

    /// There is no way into the cgroup.
    pub(super) fn is_closed(&self) -> Obstacle {
        Obstacle::new(
            format!("the cgroup {} cannot be entered", self.path),
            INSTALL,
        )
    }
}

/// Where cgroup v2 is mounted: at `/sys/fs/cgroup`, or beside version 1 elsewhere.
fn hierarchy() -> Option<PathBuf> {
    let mounts = procfs::process::Process::myself().and_then(|own| own.mountinfo());
    let mounts = mounts.ok()?.0.into_iter();
    let roots: Vec<_> = mounts
        .filter(|mount| mount.fs_type == "cgroup2")
        .map(|mount| mount.mount_point)
        .collect();
    let usual = roots.iter().find(|root| **root == Path::new(USUAL_ROOT));
    usual.or(roots.first()).cloned()
}

const USUAL_ROOT: &str = "/sys/fs/cgroup";

/// Where `scripts/mitm-redirect.sh` keeps its records.
const RECORDS: &str = "/var/lib/gravimeter-redirect";

/// The remedy.
pub(super) const INSTALL: &str = "sudo gravimeter redirect install --cgroup";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_or_refused() {
        let path = default_path(1000);
        assert_eq!(
            Installed::parse(&format!("8744 {path}\n")),
            Some(Installed { path, port: 8744 })
        );
        for bad in ["", "8744", "port a/b", "70000 a/b"] {
            assert_eq!(Installed::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_process_of_the_cgroup_is_known_by_whole_names() {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let installed = |path: &str| Installed {
            path: path.to_owned(),
            port: PORT,
        };
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            assert!(installed(own).holds_this_process());
        }
        assert!(!installed("no-such.slice").holds_this_process());
    }
}
