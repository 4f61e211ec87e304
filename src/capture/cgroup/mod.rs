//! Captures a program by its control group (cgroup): root installs redirect rules for one cgroup
//! once, and whatever runs in it arrives here by the machine's own network.
//!
//! The program goes into that cgroup without root: directly, where the cgroup was given to the user
//! (delegated), or by the user's systemd as a scope in a slice.

pub mod enter;
mod installed;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Obstacle;
use super::{listener, probe};

pub use installed::{INSTANCE, PORT, default_path};

use installed::{INSTALL, Installed};

/// A cgroup whose connections to port 443 arrive at our listeners.
#[derive(Debug)]
pub struct Cgroup {
    entry: Entry,
    listeners: Vec<TcpListener>,
}

/// How a process comes into the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// By writing to `cgroup.procs` in this folder.
    Delegated(PathBuf),
    /// By the user's systemd, in this slice.
    Systemd(String),
}

impl Cgroup {
    /// Opens the listeners to which the installed rules lead, and shows by a connection from the
    /// cgroup that they do. `program` is our own executable, and `path` where programs are searched.
    ///
    /// # Errors
    /// What stands in the way on this machine, with the remedy.
    pub fn open(program: &Path, path: &OsStr) -> Result<Self, Obstacle> {
        let installed = Installed::read()?;
        let folder = installed.folder()?;
        if installed.holds_this_process() {
            return Err(Obstacle::new(
                format!("gravimeter itself runs in the cgroup {}", installed.path),
                "start it from a shell outside of that cgroup",
            ));
        }
        let listeners = listen(installed.port)?;
        let mut refused = None;
        for entry in installed.entries(folder, path) {
            match entry.leads_to(program, &listeners) {
                Ok(()) => return Ok(Self { entry, listeners }),
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        Err(refused.unwrap_or_else(|| installed.is_closed()))
    }

    /// The listening sockets at which redirected connections arrive. They can be taken once.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// A command that goes into the cgroup and becomes the program whose path and arguments are still
    /// to be added to it. `program` is our own executable.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        self.entry.command(program)
    }
}

impl Entry {
    /// Makes a connection from the cgroup, which must arrive.
    fn leads_to(&self, program: &Path, listeners: &[TcpListener]) -> Result<(), Obstacle> {
        let mut command = self.command(program);
        let child = command
            .arg(program)
            .args(probe::COMMAND)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Obstacle::of_start(command.get_program(), &error))?;
        probe::arrives(child, listeners).map_err(|said| {
            Obstacle::new(
                format!("the redirect rules of the cgroup do not work ({said})"),
                INSTALL,
            )
        })
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Delegated(folder) => {
                let mut command = Command::new(program);
                command.args(enter::COMMAND).arg(folder).arg("--");
                command
            }
            Self::Systemd(slice) => {
                let mut command = Command::new("systemd-run");
                command
                    .args(["--user", "--scope", "--quiet", "--collect"])
                    .arg(format!("--slice={slice}"))
                    .arg("--");
                command
            }
        }
    }
}

/// Listens on the loopback of both IP families, as far as the machine has them.
fn listen(port: u16) -> Result<Vec<TcpListener>, Obstacle> {
    let mut listeners = Vec::new();
    let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for address in both.map(|address| SocketAddr::new(address, port)) {
        match listener::listen(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if address.is_ipv6() && listener::is_without_ipv6(&error) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(Obstacle::new(
                    format!("port {port}, to which the cgroup's rules lead, is in use"),
                    "another run has the cgroup: wait for its end, or use another scope",
                ));
            }
            Err(error) => return Err(Obstacle::of_system(error)),
        }
    }
    Ok(listeners)
}
