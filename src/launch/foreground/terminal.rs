//! The terminal that controls this process, where there is one.

use std::fs::File;

use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// The controlling terminal.
pub(super) struct Terminal {
    file: File,
    /// As it was at the start.
    attributes: Option<Termios>,
}

impl Terminal {
    /// Opens it. `None` where nothing controls this process: under a service manager, in a pipeline
    /// of a build machine.
    pub(super) fn open() -> Option<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .ok()?;
        let attributes = tcgetattr(&file).ok();
        Some(Self { file, attributes })
    }

    /// Whether what is typed is for our process group.
    pub(super) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file).is_ok_and(|foreground| foreground == getpgrp())
    }

    /// Sets it as it was at the start: a program that was killed has not done so.
    pub(super) fn restore(&self) {
        if let Some(attributes) = self.attributes.as_ref().filter(|_| self.is_ours()) {
            // A terminal that is gone needs no setting.
            let _ = tcsetattr(&self.file, OptionalActions::Drain, attributes);
        }
    }
}
