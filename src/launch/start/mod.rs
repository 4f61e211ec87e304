//! Starting and signalling the agent as its user: directly, as root, or through sudo.
//!
//! All three ways run the same entry point ([`exec`]) and speak the same protocol; only who
//! runs it differs.

pub(super) mod account;
mod channel;
pub(crate) mod exec;
mod on_terminal;
pub(super) mod wire;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::lines::Lines;
use super::process::{self, Identity};
use super::{Config, LaunchError};
use crate::record::printable;
use account::Account;
use channel::Descriptors;
use wire::{Presence, Request, Spec};

pub use account::AccountError;
pub(crate) use account::uid_of;

/// Runs our entry points as one user.
#[derive(Debug)]
pub(super) struct Launcher {
    program: PathBuf,
    pub(super) account: Account,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The user is our own.
    Direct,
    /// We are root and become the user.
    Root,
    /// sudo becomes the user.
    Sudo,
}

/// `agent-exec` before it has its order.
pub(super) struct Waiting {
    pub(super) identity: Identity,
    child: Child,
    socket: UnixStream,
    stderr: Lines<ChildStderr>,
    stdout: Lines<ChildStdout>,
    program: PathBuf,
}

/// The agent, and sudo in front of it when that is the way.
pub(super) struct Agent {
    pub(super) child: Child,
    pub(super) stderr: Lines<ChildStderr>,
    pub(super) stdout: Lines<ChildStdout>,
}

impl Launcher {
    /// For the configured user.
    pub(super) async fn new(config: &Config) -> Result<Self, LaunchError> {
        let program = config
            .program
            .clone()
            .map_or_else(std::env::current_exe, Ok)
            .map_err(LaunchError::Program)?;
        let launcher = Self::for_user(program, config.user.as_deref()).await?;
        if config.redirected && launcher.way == Way::Direct {
            let Account { name, uid, .. } = launcher.account;
            return Err(LaunchError::SameUser { user: name, uid });
        }
        Ok(launcher)
    }

    /// The same program for another user, or for our own.
    pub(super) async fn for_user(
        program: PathBuf,
        user: Option<&str>,
    ) -> Result<Self, LaunchError> {
        let own = geteuid();
        let own_number = own.as_raw().to_string();
        let account = Account::lookup(user.unwrap_or(&own_number)).await?;
        let way = match account.uid {
            uid if uid == own.as_raw() => Way::Direct,
            _ if own.is_root() => Way::Root,
            _ => Way::Sudo,
        };
        Ok(Self {
            program,
            account,
            way,
        })
    }

    /// Whether it is the user who runs this process.
    pub(super) fn is_own_user(&self) -> bool {
        self.way == Way::Direct
    }

    /// The same program for `user`, for whom an earlier run started an agent.
    pub(super) async fn for_orphan(&self, user: &str) -> Result<Self, LaunchError> {
        Self::for_user(self.program.clone(), Some(user)).await
    }

    /// Starts `agent-exec` and learns which process it is.
    pub(super) async fn spawn(&self) -> Result<Waiting, LaunchError> {
        let (mut socket, theirs) =
            channel_to_child().map_err(|error| self.handover(&error.to_string()))?;
        let mut command = self.command("agent-exec");
        command
            .stdin(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.way == Way::Sudo {
            // The terminal's Ctrl-C shall reach us alone, so that the agent is ended in order.
            // agent-exec leaves our group by itself; it must not lead one before it can lead a
            // session.
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(|source| self.spawn_error(source))?;
        // It holds our copy of the other end, which would keep the socket open.
        drop(command);
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(self.handover("its pipes are missing"));
        };
        let mut stderr = Lines::new(stderr);
        // An error drops the socket, at which agent-exec ends by itself, also where we may not
        // signal sudo.
        match timeout(HANDOVER_LIMIT, wire::receive(&mut socket)).await {
            Ok(Ok(identity)) => {
                let (program, stdout) = (self.program.clone(), Lines::new(stdout));
                Ok(Waiting {
                    identity,
                    child,
                    socket,
                    stderr,
                    stdout,
                    program,
                })
            }
            // No agent has run yet: what stands on standard error is of sudo or of our own program.
            Ok(Err(_)) => Err(self.not_started(first_words(&mut stderr).await)),
            Err(_) => Err(self.handover("it said nothing in time")),
        }
    }

    /// Signals every process of an agent and waits up to `wait` for them to be gone.
    pub(super) async fn signal(&self, request: Request) -> Result<Presence, LaunchError> {
        if self.way == Way::Sudo {
            return self.signal_through_sudo(request).await;
        }
        let uid = self.account.uid;
        let applied = tokio::task::spawn_blocking(move || process::apply(request, uid)).await;
        let result = applied.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        result.map_err(|error| self.handover(&error.to_string()))
    }

    async fn signal_through_sudo(&self, request: Request) -> Result<Presence, LaunchError> {
        let order = wire::encode(&request).map_err(|error| self.handover(&error.to_string()))?;
        let mut command = self.command("agent-signal");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| self.spawn_error(source))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A refusal closes the pipe early; its reason is on stderr.
            let _ = timeout(HANDOVER_LIMIT, stdin.write_all(&order)).await;
        }
        let limit = Duration::from_millis(request.wait_ms).saturating_add(HANDOVER_LIMIT);
        let ended = timeout(limit, child.wait_with_output()).await;
        let output = ended.map_err(|_| self.handover("it did not answer in time"))?;
        let output = output.map_err(|error| self.handover(&error.to_string()))?;
        Presence::parse(&output.stdout)
            .ok_or_else(|| self.refused(&String::from_utf8_lossy(&output.stderr)))
    }

    fn command(&self, entry_point: &str) -> Command {
        let mut command = match self.way {
            Way::Direct | Way::Root => Command::new(&self.program),
            Way::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "-u", &self.account.name, "--"])
                    .arg(&self.program);
                sudo
            }
        };
        if self.way == Way::Root {
            // The standard library also drops the supplementary groups of root.
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
            .arg(entry_point)
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C");
        command.current_dir("/");
        command
    }

    fn spawn_error(&self, source: std::io::Error) -> LaunchError {
        match self.way {
            Way::Sudo if source.kind() == std::io::ErrorKind::NotFound => {
                LaunchError::SudoMissing {
                    user: self.account.name.clone(),
                }
            }
            Way::Sudo => LaunchError::Spawn {
                program: "sudo".into(),
                source,
            },
            Way::Direct | Way::Root => LaunchError::Spawn {
                program: self.program.clone(),
                source,
            },
        }
    }

    fn not_started(&self, said: Option<String>) -> LaunchError {
        let said = said.unwrap_or_default();
        match said.strip_prefix(OWN_ERROR) {
            Some(own) => self.handover(own),
            None if self.way == Way::Sudo => self.refused(&said),
            None => self.handover(&said),
        }
    }

    fn refused(&self, said: &str) -> LaunchError {
        let detail = match said.trim() {
            "" => "it ended without a word".to_owned(),
            said => printable(
                said.lines()
                    .next()
                    .unwrap_or_default()
                    .trim_start_matches("sudo: "),
            ),
        };
        LaunchError::SudoRefused {
            user: self.account.name.clone(),
            detail,
        }
    }

    fn handover(&self, detail: &str) -> LaunchError {
        handover(&self.program, detail)
    }
}

impl Waiting {
    /// Gives `agent-exec` its order and the agent its standard input, which ends there. Returns
    /// when the agent runs.
    pub(super) async fn go(self, spec: &Spec, input: &[u8]) -> Result<Agent, LaunchError> {
        let Self {
            child,
            socket,
            stderr,
            stdout,
            program,
            ..
        } = self;
        match timeout(HANDOVER_LIMIT, hand_over(socket, spec, input)).await {
            Ok(Ok(None)) => Ok(Agent {
                child,
                stderr,
                stdout,
            }),
            Ok(Ok(Some(failure))) => Err(LaunchError::Exec(printable(&failure))),
            Ok(Err(error)) => Err(handover(&program, &error.to_string())),
            Err(_) => Err(handover(&program, "it did not execute the agent in time")),
        }
    }
}

/// A socket, and the other end of it for a child.
fn channel_to_child() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// Why the agent was not executed; `None` when it was.
async fn hand_over(
    mut socket: UnixStream,
    spec: &Spec,
    input: &[u8],
) -> io::Result<Option<String>> {
    let (theirs, feed) = io::pipe()?;
    let answer = send_order(&mut socket, spec, theirs.into()).await?;
    let mut feed = pipe::Sender::from_owned_fd(feed.into())?;
    feed.write_all(input).await?;
    drop(feed);
    read_answer(answer).await
}

/// Gives `agent-exec` its order and the agent's standard input; where its answer will come.
async fn send_order(socket: &mut UnixStream, spec: &Spec, input: OwnedFd) -> io::Result<OwnedFd> {
    let order = wire::encode(spec)?;
    let (answer, report) = io::pipe()?;
    let descriptors = Descriptors {
        input,
        report: report.into(),
    };
    socket
        .async_io(Interest::WRITABLE, || descriptors.send(&*socket))
        .await?;
    // Our copy of the report would keep it open.
    drop(descriptors);
    socket.write_all(&order).await?;
    Ok(answer.into())
}

async fn read_answer(answer: OwnedFd) -> io::Result<Option<String>> {
    let read = tokio::task::spawn_blocking(move || channel::read_report(answer));
    read.await.map_err(io::Error::other)?
}

/// Where our own helpers are looked for: only root writes there.
pub(super) const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// sudo may ask a directory service; the rest takes milliseconds.
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);

/// sudo may warn before it runs the command (`unable to resolve host`).
const MAX_WARNINGS: usize = 16;

/// The first line on standard error that says something; our own program's, where it says anything.
async fn first_words(stderr: &mut Lines<ChildStderr>) -> Option<String> {
    let mut first = None;
    for _ in 0..MAX_WARNINGS {
        let Ok(Some(line)) = timeout(HANDOVER_LIMIT, stderr.next()).await else {
            break;
        };
        if line.starts_with(OWN_ERROR) {
            return Some(line);
        }
        first = first.or(Some(line).filter(|line| !line.is_empty()));
    }
    first
}

/// How this program begins to say why it failed.
const OWN_ERROR: &str = "error: ";

fn handover(program: &Path, detail: &str) -> LaunchError {
    LaunchError::Handover {
        program: program.to_owned(),
        detail: printable(detail),
    }
}
