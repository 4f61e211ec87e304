//! Connections enter, the programs that have opened them leave.
//!
//! The kernel names the owner and the inode of each connection's socket, and of the owner's
//! processes the one is searched that has this inode among its open files. Processes of other users
//! can be looked at by root alone.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use procfs::process::{FDTarget, Process};

use super::Ends;
use super::sockets::{Socket, Table, sockets};
use crate::git::repository_of;
use crate::record::{Caller, ProgramName, Repository};

/// Finds the programs of connections. Blocks for a millisecond for each few hundred processes of the
/// machine, and in another network namespace for each thousand of its connections.
pub(super) fn find(
    table: Table,
    wanted: &[Ends],
    with_repositories: bool,
) -> HashMap<Ends, Caller> {
    let mut connections: HashMap<u64, Ends> = HashMap::new();
    let mut owners = HashSet::new();
    for Socket { ends, inode, uid } in sockets(table, wanted) {
        connections.insert(inode, ends);
        owners.insert(uid);
    }
    let mut found = HashMap::new();
    if connections.is_empty() {
        return found;
    }
    for process in procfs::process::all_processes().into_iter().flatten() {
        let Ok(process) = process else { continue };
        let is_owner = process.uid().is_ok_and(|uid| owners.contains(&uid));
        if !is_owner {
            continue;
        }
        let opened: Vec<u64> = sockets_of(&process)
            .filter(|inode| connections.contains_key(inode))
            .collect();
        if opened.is_empty() {
            continue;
        }
        let Some(caller) = caller(&process, with_repositories) else {
            continue;
        };
        // A socket that several processes have was opened by the first of them, whose child the
        // others are: pids mostly ascend.
        for ends in opened.iter().filter_map(|inode| connections.remove(inode)) {
            found.insert(ends, caller.clone());
        }
        if connections.is_empty() {
            break;
        }
    }
    found
}

/// The inodes of the sockets that a process has open; none where its files may not be looked at.
fn sockets_of(process: &Process) -> impl Iterator<Item = u64> {
    let files = process.fd().into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| match file.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    })
}

fn caller(process: &Process, with_repository: bool) -> Option<Caller> {
    let caller = Caller {
        program: Some(program(process)?),
        ..Caller::default()
    };
    let repository = with_repository.then(|| repository(process)).flatten();
    Some(caller.in_repository(repository.as_ref()))
}

fn program(process: &Process) -> Option<ProgramName> {
    let own = process.stat().ok()?.comm;
    let file = process.exe().ok();
    let file = file.as_deref().and_then(Path::file_name);
    named(
        &own,
        &file.map(|name| name.to_string_lossy()).unwrap_or_default(),
    )
}

/// The program's name by that of its process and of its file. An interpreter's process is named by
/// the script that it runs, as far as the script does so; behind a space, arguments may follow.
fn named(own: &str, file: &str) -> Option<ProgramName> {
    let file = file.strip_suffix(DELETED).unwrap_or(file);
    // The kernel cuts the names of processes to fifteen bytes.
    let is_of_file = !file.is_empty() && (file.starts_with(own) || THREADS.contains(&own));
    if is_of_file {
        ProgramName::new(file)
    } else {
        ProgramName::new(own.split_whitespace().next()?)
    }
}

/// The repository of the working directory; none for one that was deleted.
fn repository(process: &Process) -> Option<Repository> {
    repository_of(&process.cwd().ok()?)
}

/// How Node names its first thread, and thereby the process.
const THREADS: [&str; 2] = ["MainThread", "node-MainThread"];

/// What the kernel writes behind the path of a file that is gone: an update replaces programs while
/// they run.
const DELETED: &str = " (deleted)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_as_people_know_it_and_without_arguments() {
        for (own, file, name) in [
            ("curl", "curl", "curl"),
            (
                "language_server",
                "language_server_linux_x64",
                "language_server_linux_x64",
            ),
            ("claude", "node", "claude"),
            ("npm exec secret", "node", "npm"),
            ("MainThread", "node", "node"),
            ("agent", "agent (deleted)", "agent"),
            ("agent", "", "agent"),
        ] {
            let found = named(own, file).expect("a name");
            assert_eq!(found.as_str(), name, "{own} {file}");
        }
        assert_eq!(named(" ", ""), None);
    }
}
