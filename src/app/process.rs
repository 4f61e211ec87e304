//! The process itself: file descriptors up to the hard limit, no core dumps, no ptrace by other
//! processes of the user.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use super::Error;

/// Two descriptors for each connection, and a reserve for listeners, scrapes and files: below this
/// Gravimeter cannot work.
const MINIMUM_OPEN_FILES: u64 = 256;

/// Beside the connections: the exporter's own (128 at the most), listeners, name resolution and
/// files.
const RESERVED_OPEN_FILES: u64 = 160;

/// Each connection has an agent's side and a provider's.
const FILES_FOR_A_CONNECTION: u64 = 2;

/// How many connections may be open at once at each of `doors`: as many as are wanted, and together
/// no more than leave the exporter its descriptors. Those beyond are refused and counted, while
/// `/metrics` goes on answering.
pub(super) fn room_for(wanted: usize, doors: usize) -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    let room = (connections_within(files) / doors.max(1)).max(1);
    if room < wanted {
        tracing::warn!(
            files,
            wanted,
            connections = room,
            doors,
            "the limit of open files leaves room for fewer connections"
        );
    }
    wanted.min(room)
}

fn connections_within(files: u64) -> usize {
    let room = files.saturating_sub(RESERVED_OPEN_FILES) / FILES_FOR_A_CONNECTION;
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

/// Raises the soft limit of open files to the hard one, and keeps keys and plaintext out of core
/// dumps and `/proc`.
///
/// # Errors
/// [`Error::OpenFiles`] when even the hard limit is too low.
pub(super) fn harden() -> Result<(), Error> {
    raise_open_files()?;
    let no_core = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let no_dump = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if no_core.is_err() || no_dump.is_err() {
        tracing::warn!("{DUMPS}");
    }
    Ok(())
}

/// The same without a limit that a program which is started from here would inherit for good.
/// Returns the soft limit of open files from before.
///
/// # Errors
/// [`Error::OpenFiles`] when even the hard limit is too low.
pub(super) fn harden_beside_program() -> Result<Option<u64>, Error> {
    let open_files = raise_open_files()?;
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        tracing::warn!("{DUMPS}");
    }
    Ok(open_files)
}

const DUMPS: &str = "core dumps could not be turned off: a crash may write keys to disk";

/// Returns the soft limit from before.
fn raise_open_files() -> Result<Option<u64>, Error> {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() {
        tracing::warn!(
            limit = files.current,
            "the limit of open files could not be raised"
        );
    }
    if files
        .maximum
        .is_some_and(|maximum| maximum < MINIMUM_OPEN_FILES)
    {
        return Err(Error::OpenFiles {
            limit: files.maximum.unwrap_or_default(),
            minimum: MINIMUM_OPEN_FILES,
        });
    }
    Ok(files.current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_exporter_its_descriptors() {
        for (files, connections) in [(0, 1), (MINIMUM_OPEN_FILES, 48), (1024, 432), (8352, 4096)] {
            assert_eq!(connections_within(files), connections, "{files}");
        }
    }
}
