//! Finds running language servers that Gravimeter has not started, such as the one of a person's own
//! Antigravity session.
//!
//! Reads discovery folders and `/proc`, as far as the kernel allows, and connects to nothing. A user
//! can start a process with any name and arguments, so a [`Candidate`] is trusted no more than its
//! user, and has to be asked.

mod arguments;
mod ca_folders;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::Announcement;
use super::announce::{Discovered, discovered};
use process::{Listeners, Process};

pub(crate) use ca_folders::{CaFolder, CaFolders};
pub(crate) use process::own_network;

/// A process that may be a language server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The process.
    pub pid: u32,
    /// Its real user.
    pub uid: u32,
    /// Clock ticks between the boot and its start: a process that is given the same pid later has
    /// other ones.
    pub start_time: u64,
    /// Whether it serves one workspace of an editor. Beside such ones, the versions of today run one
    /// that has all conversations.
    pub is_for_workspace: bool,
    /// What its arguments and its discovery file say; the arguments come first.
    pub announcement: Announcement,
    /// Ports that it listens on beside those, in ascending order: which of them speaks what is
    /// found out by asking. Empty when both RPC ports are known, and when its sockets may not be
    /// looked at.
    pub unknown_ports: Vec<u16>,
}

/// The process of a desktop application of our own user, by the name of its program, where it is one
/// that runs once: started again, it hands everything to the process that runs already, and that one
/// cannot be observed any more. Blocks: it looks at every process.
#[must_use]
pub(crate) fn running_application(name: &str) -> Option<u32> {
    let own = rustix::process::getuid().as_raw();
    let is_it = |process: &Process| {
        // Its children, by Electron's flag for them.
        let is_part = || {
            process
                .arguments()
                .iter()
                .any(|word| word.starts_with("--type="))
        };
        process.names().any(|known| known == name)
            && process.uid() == Some(own)
            && process.start_time().is_some()
            && !is_part()
    };
    let mut processes = Process::all().filter(|_| RUN_ONCE.contains(&name));
    processes.find(is_it).map(|process| process.pid())
}

/// Whether a program of this name starts a language server whose conversations can be followed.
#[must_use]
pub(crate) fn has_language_server(name: &str) -> bool {
    WITH_LANGUAGE_SERVER.contains(&name) || name.starts_with("language_server")
}

/// Patterns for the processes of a program that call models, where it is one whose other processes
/// make connections to the same hosts with roots of their own; none where all processes count.
#[must_use]
pub(crate) fn model_callers(name: &str) -> &'static [&'static str] {
    match name {
        "antigravity" | "antigravity-ide" => &["language_server*"],
        // The language server is inside of it.
        "agy" => &["agy", "language_server*"],
        _ => &[],
    }
}

/// Programs that start a language server, beside the language server itself.
const WITH_LANGUAGE_SERVER: [&str; 3] = ["agy", "antigravity", "antigravity-ide"];

/// Applications that run once for each user.
const RUN_ONCE: [&str; 1] = ["antigravity"];

/// Where language servers are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// Folders with discovery files.
    pub discovery_folders: Vec<PathBuf>,
    /// The program whose processes alone count; any process of the machine where there is `None`.
    pub started_by: Option<StartedBy>,
    /// Where any process counts: the CA folders of programs whose processes do not.
    pub except: CaFolders,
}

/// How the processes of a program that was started in the foreground are known, however often they
/// fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartedBy {
    /// The folder of the CA files that its environment names, which no other program is given.
    pub ca_folder: PathBuf,
    /// Its network namespace, as [`own_network`] has it: ports in another one cannot be reached.
    pub network: u64,
}

impl StartedBy {
    fn includes(&self, process: &Process) -> bool {
        ca_folder_of(process).as_ref() == Some(&self.ca_folder)
            && process.network() == Some(self.network)
    }
}

/// The folder of the CA file that the process's environment names.
fn ca_folder_of(process: &Process) -> Option<PathBuf> {
    let file = PathBuf::from(process.variable("SSL_CERT_FILE")?);
    file.parent().map(Path::to_owned)
}

impl Search {
    fn includes(&self, process: &Process) -> bool {
        match &self.started_by {
            Some(program) => program.includes(process),
            None => !self.except.have(|| ca_folder_of(process)),
        }
    }

    /// All candidates by pid: processes with the name of a language server, and living ones of
    /// which a discovery file speaks. Blocks: it looks at every process.
    #[must_use]
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let named = Process::all().filter_map(|process| {
            let name = process
                .names()
                .find(|name| arguments::is_language_server(name))?;
            let arguments = process.arguments();
            let announcement = arguments::announced(&name, &arguments)?;
            let candidate = Candidate::new(&process, announcement)?;
            self.includes(&process).then_some(Candidate {
                is_for_workspace: arguments::is_for_workspace(&arguments),
                ..candidate
            })
        });
        let mut found: BTreeMap<u32, Candidate> =
            named.map(|candidate| (candidate.pid, candidate)).collect();
        let folders = self.discovery_folders.iter();
        for file in folders.flat_map(|folder| discovered(folder)) {
            self.add(&mut found, file);
        }
        let mut found: Vec<_> = found.into_values().collect();
        self.look_for_ports(&mut found);
        found
    }

    /// A file counts only for processes of the user who wrote it.
    fn add(&self, found: &mut BTreeMap<u32, Candidate>, file: Discovered) {
        let candidate = match found.entry(file.pid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let process = Process::of_pid(file.pid).filter(|process| self.includes(process));
                let candidate =
                    process.and_then(|process| Candidate::new(&process, Announcement::default()));
                let Some(candidate) = candidate.filter(|candidate| candidate.uid == file.owner)
                else {
                    return;
                };
                place.insert(candidate)
            }
        };
        if candidate.uid == file.owner {
            candidate.announcement.complete(file.announcement);
        }
    }

    fn look_for_ports(&self, candidates: &mut [Candidate]) {
        let program = self.started_by.as_ref();
        let network = program.map(|program| program.network).or_else(own_network);
        let mut listeners = None;
        for candidate in candidates {
            if candidate.announcement.is_complete() {
                continue;
            }
            let process = Process::of_pid(candidate.pid);
            // A port in another network namespace would be looked for in the wrong place.
            let Some(process) = process.filter(|process| process.network() == network) else {
                continue;
            };
            let listeners = listeners.get_or_insert_with(|| Listeners::beside(&process));
            let Announcement {
                https_port,
                http_port,
                lsp_port,
                ..
            } = candidate.announcement;
            let known = [https_port, http_port, lsp_port];
            let mut ports = listeners.of(&process);
            ports.retain(|port| !known.contains(&Some(*port)));
            candidate.unknown_ports = ports.into_iter().collect();
        }
    }
}

impl Candidate {
    /// `None` when the process is gone or may not be looked at.
    fn new(process: &Process, announcement: Announcement) -> Option<Self> {
        let (uid, start_time) = (process.uid()?, process.start_time()?);
        Some(Self {
            pid: process.pid(),
            uid,
            start_time,
            is_for_workspace: false,
            announcement,
            unknown_ports: Vec::new(),
        })
    }
}
