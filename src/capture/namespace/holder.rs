//! The process that makes a namespace and keeps it: pasta or unshare, and what it has started.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::capture::Obstacle;

/// A running holder, at the head of a process group of its own.
#[derive(Debug)]
pub(super) struct Holder {
    child: Child,
    /// What it and its child have said. A file and not a pipe, because it is not read while they run.
    words: File,
}

impl Holder {
    /// Starts `command`, which gets `socket` as its standard input. `path` is where programs are
    /// searched.
    pub(super) fn start(
        mut command: Command,
        path: &OsStr,
        socket: UnixStream,
    ) -> Result<Self, Obstacle> {
        let words = memfd_create("words", MemfdFlags::CLOEXEC).map(File::from);
        let words = words.map_err(|errno| Obstacle::of_system(errno.into()))?;
        let child = command
            .env("PATH", path)
            .stdin(OwnedFd::from(socket))
            .stdout(Stdio::null())
            .stderr(words.try_clone().map_err(Obstacle::of_system)?)
            // The terminal's signals are for the program that runs inside.
            .process_group(0)
            .spawn()
            .map_err(|error| Obstacle::of_start(command.get_program(), &error))?;
        Ok(Self { child, words })
    }

    /// Whether it has ended. It stays to be waited for, so that its pid is not given to another process.
    pub(super) fn has_ended(&self) -> bool {
        let own = WaitId::Pid(Pid::from_child(&self.child));
        let looking = WaitIdOptions::NOHANG | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        !matches!(waitid(own, looking), Ok(None))
    }

    /// Waits a moment for its end, then kills it; also its child, which an early end may have left
    /// behind.
    pub(super) fn end(&mut self) {
        let deadline = Instant::now() + END_LIMIT;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        // Fails when none of them is left.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }

    /// What was said, without pasta's words about a missing system logger.
    pub(super) fn words(&self) -> String {
        let mut bytes = Vec::new();
        let mut words = &self.words;
        // What cannot be read is left out: the error itself is reported in any case.
        let _ = words
            .rewind()
            .and_then(|()| words.take(MAX_WORDS).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.ends_with("bytes to syslog"));
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// It ends within milliseconds of its child.
const END_LIMIT: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// More than any error of pasta or unshare has.
const MAX_WORDS: u64 = 8 << 10;
