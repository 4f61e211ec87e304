//! The session of a run: what is known of it before its program is started.

use std::time::SystemTime;

use uuid::Uuid;

use crate::app::Error;
use crate::git::repository_of;
use crate::launch::foreground::Executable;
use crate::record::{ProgramName, Session, SessionId};

/// A new session of a program that is started now, in our working directory.
///
/// # Errors
/// [`Error::ProgramName`] when the program has no name.
pub(super) fn begin(executable: &Executable) -> Result<Session, Error> {
    let id = SessionId::parse(&Uuid::new_v4().to_string());
    let program = ProgramName::new(&executable.title());
    let (id, program) = id.zip(program).ok_or(Error::ProgramName)?;
    // A working directory that was deleted has no path.
    let folder = std::env::current_dir().ok();
    Ok(Session {
        id,
        program,
        repository: folder.and_then(|folder| repository_of(&folder)),
        started_at: SystemTime::now(),
    })
}
