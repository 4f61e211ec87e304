//! How a program ended, and how we end likewise.

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use serde::Serialize;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(u8),
    /// By the signal with this number.
    Signalled(i32),
}

impl Ending {
    /// The exit code that a shell shows for it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(number) => u8::try_from(SIGNALLED + number).unwrap_or(u8::MAX),
        }
    }
}

/// Ends this process by a signal, so that the shell sees what it would have seen of the program.
/// Nothing in this process may handle the signal. Where the signal does not end a process, the exit
/// code says the same.
pub(crate) fn die_by(number: i32) -> ExitCode {
    let no_core = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    // The program has left its own core file. A failure here leaves a second one.
    let _ = setrlimit(Resource::Core, no_core);
    if let Some(signal) = Signal::from_named_raw(number) {
        // Rust's own handler of SIGSEGV and SIGBUS only steps aside at the first one.
        for _ in 0..2 {
            let _ = kill_process(getpid(), signal);
        }
    }
    ExitCode::from(Ending::Signalled(number).exit_code())
}

/// What a shell adds to the number of a signal.
const SIGNALLED: i32 = 128;
