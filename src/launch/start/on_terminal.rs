//! Starts a program as the user on our own terminal, with our own standard streams.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use tokio::time::timeout;

use super::wire::{self, Spec};
use super::{HANDOVER_LIMIT, Launcher, Way, channel_to_child, read_answer, send_order};
use crate::launch::LaunchError;
use crate::launch::process::Identity;
use crate::record::printable;

impl Launcher {
    /// Starts the program of `spec`, which reads `input` and writes where we do; with `quiet`, to
    /// nowhere. Returns when it runs, or why it does not. The child is sudo where that is the way.
    pub(in crate::launch) async fn start_on_terminal(
        &self,
        spec: &Spec,
        input: OwnedFd,
        quiet: bool,
    ) -> Result<(Child, Identity), LaunchError> {
        let (mut socket, theirs) =
            channel_to_child().map_err(|error| self.handover(&error.to_string()))?;
        let mut command = self.command("agent-exec").into_std();
        command.stdin(theirs);
        if quiet {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|source| self.spawn_error(source))?;
        // It holds our copy of the other end, which would keep the socket open.
        drop(command);
        let started = async {
            let identity = wire::receive(&mut socket).await?;
            let answer = send_order(&mut socket, spec, input).await?;
            Ok::<_, std::io::Error>((identity, read_answer(answer).await?))
        };
        match timeout(HANDOVER_LIMIT, started).await {
            Ok(Ok((identity, None))) => Ok((child, identity)),
            Ok(Ok((_, Some(failure)))) => Err(LaunchError::Exec(printable(&failure))),
            Ok(Err(_)) if self.way == Way::Sudo => {
                // What it has said is read to its end, which its refusal is.
                let mut said = String::new();
                if let Some(stderr) = &mut child.stderr {
                    let _ = stderr.take(MAX_WORDS).read_to_string(&mut said);
                }
                let _ = child.wait();
                Err(self.refused(&said))
            }
            Ok(Err(error)) => Err(self.handover(&error.to_string())),
            Err(_) => Err(self.handover("it said nothing in time")),
        }
    }
}

/// More than any refusal of sudo has.
const MAX_WORDS: u64 = 4 << 10;
