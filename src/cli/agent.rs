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
        match exec::agent_exec(io::stdin()).map_err(without_cause)? {}
    }
}

/// Signal the agent that standard input names; for gravimeter itself, not for people
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct AgentSignal {}

impl AgentSignal {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        exec::agent_signal(io::stdin(), out).map_err(without_cause)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The error's own words name its cause already.
fn without_cause(error: exec::ExecError) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
