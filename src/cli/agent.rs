//! The hidden commands that run as the agent's user: sudo starts exactly these.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use crate::launch::exec;

/// Become the agent that standard input orders; for gravimeter itself, not for people
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct AgentExec {}

impl AgentExec {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match exec::agent_exec(io::stdin()) {
            Ok(never) => match never {},
            // Standard error has been told, in the form that the supervisor reads.
            Err(_) => Ok(ExitCode::FAILURE),
        }
    }
}

/// Signal the agent that standard input names; for gravimeter itself, not for people
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct AgentSignal {}

impl AgentSignal {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        exec::agent_signal(io::stdin(), out)?;
        Ok(ExitCode::SUCCESS)
    }
}
