//! The process itself: file descriptors up to the hard limit, no core dumps, no ptrace by other processes of the user.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::Error;

/// Two descriptors for each connection, and a reserve for listeners, scrapes and files: below this the house cannot work.
const MINIMUM_OPEN_FILES: u64 = 256;

/// Raises the soft limit of open files to the hard one, and keeps keys and plaintext out of core dumps and `/proc`.
///
/// # Errors
/// [`Error::OpenFiles`] when even the hard limit is too low.
pub(super) fn harden() -> Result<(), Error> {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, maximum: files.maximum };
    if setrlimit(Resource::Nofile, raised).is_err() {
        tracing::warn!(limit = files.current, "the limit of open files could not be raised");
    }
    if files.maximum.is_some_and(|maximum| maximum < MINIMUM_OPEN_FILES) {
        return Err(Error::OpenFiles { limit: files.maximum.unwrap_or_default(), minimum: MINIMUM_OPEN_FILES });
    }
    let no_core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let no_dump = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if no_core.is_err() || no_dump.is_err() {
        tracing::warn!("core dumps could not be turned off: a crash may write keys to disk");
    }
    Ok(())
}
