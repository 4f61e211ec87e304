//! Finds running language servers that Gravimeter has not started, such as the one of a person's own
//! Antigravity session.
//!
//! Reads discovery folders and `/proc`, as far as the kernel allows, and connects to nothing. A user
//! can start a process with any name and arguments, so a [`Candidate`] is trusted no more than its
//! user, and has to be asked.

mod arguments;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use super::Announcement;
use super::announce::{Discovered, discovered};
use process::{Listeners, Process};

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
    /// What its arguments and its discovery file say; the arguments come first.
    pub announcement: Announcement,
    /// Ports that it listens on beside those, in ascending order: which of them speaks what is
    /// found out by asking. Empty when both RPC ports are known, and when its sockets may not be
    /// looked at.
    pub unknown_ports: Vec<u16>,
}

/// All candidates by pid: processes with the name of a language server, and living ones of which a
/// discovery file in `discovery_folders` speaks. Blocks: it looks at every process.
#[must_use]
pub(crate) fn candidates(discovery_folders: &[PathBuf]) -> Vec<Candidate> {
    let named = Process::all().filter_map(|process| {
        let name = process
            .names()
            .find(|name| arguments::is_language_server(name))?;
        Candidate::new(&process, arguments::announced(&name, &process.arguments())?)
    });
    let mut found: BTreeMap<u32, Candidate> =
        named.map(|candidate| (candidate.pid, candidate)).collect();
    for file in discovery_folders
        .iter()
        .flat_map(|folder| discovered(folder))
    {
        add(&mut found, file);
    }
    let mut found: Vec<_> = found.into_values().collect();
    look_for_ports(&mut found);
    found
}

impl Candidate {
    /// `None` when the process is gone or may not be looked at.
    fn new(process: &Process, announcement: Announcement) -> Option<Self> {
        let (uid, start_time) = (process.uid()?, process.start_time()?);
        Some(Self {
            pid: process.pid(),
            uid,
            start_time,
            announcement,
            unknown_ports: Vec::new(),
        })
    }
}

/// A file counts only for processes of the user who wrote it.
fn add(found: &mut BTreeMap<u32, Candidate>, file: Discovered) {
    let candidate = match found.entry(file.pid) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => {
            let process = Process::of_pid(file.pid);
            let candidate =
                process.and_then(|process| Candidate::new(&process, Announcement::default()));
            let Some(candidate) = candidate.filter(|candidate| candidate.uid == file.owner) else {
                return;
            };
            place.insert(candidate)
        }
    };
    if candidate.uid == file.owner {
        candidate.announcement.complete(file.announcement);
    }
}

fn look_for_ports(candidates: &mut [Candidate]) {
    let mut incomplete = candidates
        .iter_mut()
        .filter(|candidate| !candidate.announcement.is_complete())
        .peekable();
    if incomplete.peek().is_none() {
        return;
    }
    let listeners = Listeners::read();
    for candidate in incomplete {
        let Announcement {
            https_port,
            http_port,
            lsp_port,
            ..
        } = candidate.announcement;
        let known = [https_port, http_port, lsp_port];
        let ports = Process::of_pid(candidate.pid)
            .map(|process| listeners.of(&process))
            .unwrap_or_default();
        candidate.unknown_ports = ports
            .into_iter()
            .filter(|port| !known.contains(&Some(*port)))
            .collect();
    }
}
