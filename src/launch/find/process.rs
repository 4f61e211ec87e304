//! Processes of all users, as far as `/proc` shows them: those that may not be read, or have ended
//! meanwhile, are skipped.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use procfs::net::TcpState;
use procfs::process::FDTarget;

/// One process. A pid that is given to another one meanwhile does not change whom this is.
pub(super) struct Process(procfs::process::Process);

impl Process {
    /// Every process that can be seen.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        procfs::process::all_processes()
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(Self)
    }

    /// `None` when there is none.
    pub(super) fn of_pid(pid: u32) -> Option<Self> {
        procfs::process::Process::new(i32::try_from(pid).ok()?)
            .ok()
            .map(Self)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.pid().unsigned_abs()
    }

    /// The real user: the owner of `/proc/<pid>` is root for programs that their user cannot read.
    pub(super) fn uid(&self) -> Option<u32> {
        self.0.status().ok().map(|status| status.ruid)
    }

    /// Clock ticks between the boot and its start; `None` when it is dead, although its parent may
    /// not know yet.
    pub(super) fn start_time(&self) -> Option<u64> {
        let stat = self.0.stat().ok()?;
        (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
    }

    /// The names by which the program goes: the one that it was called by and, if the kernel tells,
    /// its file's.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let called = self.command_line().into_iter().next().map(Into::into);
        [called, self.0.exe().ok()]
            .into_iter()
            .flatten()
            .filter_map(|path| file_name(&path))
    }

    /// The arguments without the program's name.
    pub(super) fn arguments(&self) -> Vec<String> {
        self.command_line().into_iter().skip(1).collect()
    }

    /// A variable of the environment that it was started with; `None` also when that may not be
    /// looked at.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        self.0.environ().ok()?.remove(OsStr::new(name))
    }

    /// Its network namespace; `None` when it may not be looked at.
    pub(super) fn network(&self) -> Option<u64> {
        network(&self.pid().to_string())
    }

    /// A process may write anything into it, and need not write UTF-8.
    fn command_line(&self) -> Vec<String> {
        let mut bytes = Vec::new();
        let Ok(file) = self.0.open_relative("cmdline") else {
            return Vec::new();
        };
        if file.take(MAX_COMMAND_LINE).read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        bytes
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }
}

/// A program that was replaced on disk while it runs, as an update does, is shown with ` (deleted)`
/// behind its path.
fn file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

/// The network namespace of this process: its inode, by which the kernel tells namespaces apart.
pub(crate) fn own_network() -> Option<u64> {
    network("self")
}

fn network(process: &str) -> Option<u64> {
    let namespace = fs::metadata(format!("/proc/{process}/ns/net"));
    namespace.ok().map(|metadata| metadata.ino())
}

/// TCP sockets of one network namespace that accept connections to loopback, by inode.
pub(super) struct Listeners(HashMap<u64, u16>);

impl Listeners {
    /// Those of the network namespace that a process is in.
    pub(super) fn beside(process: &Process) -> Self {
        let sockets = [process.0.tcp(), process.0.tcp6()]
            .into_iter()
            .filter_map(Result::ok)
            .flatten();
        let listening = sockets.filter(|socket| {
            socket.state == TcpState::Listen && is_reachable(socket.local_address)
        });
        Self(
            listening
                .map(|socket| (socket.inode, socket.local_address.port()))
                .collect(),
        )
    }

    /// The ports of a process in ascending order; none when its files may not be looked at.
    pub(super) fn of(&self, process: &Process) -> BTreeSet<u16> {
        let files = process.0.fd().into_iter().flatten().filter_map(Result::ok);
        let inodes = files.filter_map(|file| match file.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        });
        inodes
            .filter_map(|inode| self.0.get(&inode).copied())
            .collect()
    }
}

/// Whether a connection to loopback may reach it.
fn is_reachable(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// A language server's has under 2 KiB; the kernel allows megabytes.
const MAX_COMMAND_LINE: u64 = 64 << 10;
