//! The two entry points that run as the agent's user: `gravimeter agent-exec` and `gravimeter
//! agent-signal`.
//!
//! What enters: one message on standard input. What leaves: the agent in place of this process, or
//! a signal. Their command lines are fixed, so that a sudoers line can name them without a
//! wildcard, and nothing secret is in them.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{FileType, Mode, fstat};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, setsid, umask,
};

use super::channel::Descriptors;
use super::wire::{self, Request, Spec};
use crate::launch::process::{Identity, apply};

/// Why an entry point could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// Standard input is not what the supervisor gives.
    #[error(
        "standard input is no socket of gravimeter's: this command is for gravimeter itself, not for people; \
         if gravimeter has started it, sudo records input: exempt this command in sudoers from log_input"
    )]
    Channel,
    /// The agent could not be executed.
    #[error("{command}: {source}; check that its user can reach it")]
    Execute {
        /// The agent's executable.
        command: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The message did not come, or is not one.
    #[error(
        "no order on standard input ({0}): this command is for gravimeter itself, not for people"
    )]
    Message(#[source] io::Error),
    /// The process could not be prepared or signalled.
    #[error("the kernel refused: {0}")]
    System(#[from] io::Error),
    /// The agent cannot begin where it should.
    #[error(
        "the agent's working directory {directory}: {source}; set agent.working_directory to a folder \
         that its user can enter"
    )]
    WorkingDirectory {
        /// The home folder of its user, unless another one was named.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Says who it is on the socket that is `stdin`, takes its order there and becomes the agent. It
/// waits for the order after it has said who it is: a supervisor that dies in between closes the
/// socket, and no agent is started without a record.
///
/// # Errors
/// [`ExecError`], which has been reported to the supervisor if there is one; there is no way to return
/// successfully.
pub(crate) fn agent_exec(stdin: impl AsFd) -> Result<Infallible, ExecError> {
    // While it holds the order, no other process of the same user may look into it. The agent
    // itself is as usual again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)?;
    let (spec, Descriptors { input, report }) = take_order(stdin)?;
    if !spec.on_terminal {
        // Leading a group already is the only way to fail (sudo with use_pty), and as good: its
        // processes are found by either.
        let _ = setsid();
    }
    let error = become_agent(spec, input);
    // The supervisor reads it, if there is one.
    let _ = File::from(report).write_all(error.to_string().as_bytes());
    Err(error)
}

/// Takes one request from `stdin`, signals the agent's processes if they are still the ones that
/// were meant and belong to the calling user, and answers on `stdout` whether one of them is left.
///
/// # Errors
/// [`ExecError`].
pub(crate) fn agent_signal(stdin: impl Read, mut stdout: impl Write) -> Result<(), ExecError> {
    let request: Request = wire::decode(stdin).map_err(ExecError::Message)?;
    let presence = apply(request, rustix::process::geteuid().as_raw())?;
    stdout.write_all(presence.as_line().as_bytes())?;
    Ok(stdout.flush()?)
}

fn take_order(stdin: impl AsFd) -> Result<(Spec, Descriptors), ExecError> {
    let stat = fstat(&stdin).map_err(io::Error::from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(ExecError::Channel);
    }
    let mut socket = UnixStream::from(stdin.as_fd().try_clone_to_owned()?);
    socket
        .write_all(&wire::encode(&Identity::own()?)?)
        .map_err(ExecError::Message)?;
    let descriptors = Descriptors::receive(&socket).map_err(ExecError::Message)?;
    Ok((
        wire::decode(socket).map_err(ExecError::Message)?,
        descriptors,
    ))
}

fn become_agent(spec: Spec, input: OwnedFd) -> ExecError {
    if let Err(errno) = confine(spec.umask) {
        return ExecError::System(errno.into());
    }
    if let Err(source) = std::env::set_current_dir(&spec.working_directory) {
        return ExecError::WorkingDirectory {
            directory: spec.working_directory,
            source,
        };
    }
    let mut command = Command::new(&spec.command);
    command
        .args(&spec.args)
        .env_clear()
        .envs(&spec.env)
        .stdin(input);
    ExecError::Execute {
        source: command.exec(),
        command: spec.command,
    }
}

/// No way to more privileges, no core file with prompts in it, no file for others to read.
fn confine(mask: u32) -> rustix::io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    umask(Mode::from_raw_mode(mask));
    // What the starter of our starter left open, such as a shell's or a service manager's. sudo
    // closes it, root does not.
    close_fds::set_fds_cloexec(FIRST_OWN_FD, &[]);
    Ok(())
}

/// Behind standard input, output and error.
const FIRST_OWN_FD: i32 = 3;
