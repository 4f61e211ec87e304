//! The last step before the program: our own executable, started as the program's process, sets back
//! what we have changed for ourselves and is replaced by the program.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{
    Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};

use super::command::{CommandError, Executable};

/// The arguments with which our executable becomes this step; an [`ExecPlan`] follows.
pub(crate) const COMMAND: [&str; 2] = ["run-stage", "exec-program"];

/// What is executed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecPlan {
    /// The process that has asked for it: when that process ends, the program gets SIGHUP, as when
    /// its terminal is closed.
    pub(crate) parent: u32,
    /// The soft limit of open files that the program shall have.
    pub(crate) open_files: Option<u64>,
    /// The program.
    pub(crate) path: PathBuf,
    /// Its argument 0 and all others.
    pub(crate) arguments: Vec<OsString>,
}

impl ExecPlan {
    /// For a program that this process starts. `open_files` is the soft limit that this process
    /// itself was started with.
    pub(crate) fn new(
        executable: &Executable,
        arguments: &[OsString],
        open_files: Option<u64>,
    ) -> Self {
        let name = std::iter::once(executable.name.clone());
        Self {
            parent: std::process::id(),
            open_files,
            path: executable.path.clone(),
            arguments: name.chain(arguments.iter().cloned()).collect(),
        }
    }

    /// The plan as arguments behind [`COMMAND`].
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--parent".into(), self.parent.to_string().into()];
        if let Some(open_files) = self.open_files {
            words.extend(["--open-files".into(), open_files.to_string().into()]);
        }
        words.extend(["--".into(), self.path.clone().into()]);
        words.extend(self.arguments.iter().cloned());
        words
    }
}

/// Becomes the program. It never returns successfully.
///
/// # Errors
/// [`CommandError`] when the program cannot be executed.
pub(crate) fn execute(plan: ExecPlan) -> Result<Infallible, CommandError> {
    let ExecPlan {
        parent,
        open_files,
        path,
        arguments,
    } = plan;
    // Refused nowhere; without it the program would outlive a killed parent.
    let _ = set_parent_process_death_signal(Some(Signal::HUP));
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get().unsigned_abs() != parent) {
        // It has ended in between, before anybody could be told.
        return Err(CommandError::NotExecutable {
            path,
            source: io::Error::other("gravimeter has ended"),
        });
    }
    if let Some(current) = open_files {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // Lowering a soft limit is always allowed.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(current),
                maximum,
            },
        );
    }
    let mut words = arguments.into_iter();
    let mut command = Command::new(&path);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    let source = command.args(words).exec();
    Err(match source.kind() {
        io::ErrorKind::NotFound => CommandError::NotFound(path.into()),
        _ => CommandError::NotExecutable { path, source },
    })
}
