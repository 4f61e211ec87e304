//! How a program ended, and how we end likewise.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, with this exit code.
    Exited(u8),
    /// By the signal with this number.
    Signalled(i32),
}

impl Ending {
    /// The exit code that a shell shows for it.
    #[must_use]
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(number) => u8::try_from(SIGNALLED + number).unwrap_or(u8::MAX),
        }
    }
}

/// Ends this process by a signal, so that whoever waits for it sees what it would have seen of the
/// program. A shell takes the place of this process for that, because this one handles signals.
/// Returns only when no shell can be executed.
pub(crate) fn end_by_signal(number: i32) -> io::Error {
    let code = Ending::Signalled(number).exit_code();
    Command::new("/bin/sh")
        .args(["-c", KILL_ITSELF, "sh"])
        .args([number.to_string(), code.to_string()])
        .exec()
}

/// Without a core file: the program has left its own. A signal that is ignored here and everywhere
/// below leaves the exit code.
const KILL_ITSELF: &str = r#"ulimit -c 0; kill -"$1" $$; exit "$2""#;

/// What a shell adds to the number of a signal.
const SIGNALLED: i32 = 128;
