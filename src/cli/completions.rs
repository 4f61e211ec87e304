//! `gravimeter completions`: scripts that let a shell complete commands and keys.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "For bash: gravimeter completions bash > ~/.local/share/bash-completion/completions/gravimeter")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        // The generator panics when it cannot write, memory it can.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "gravimeter", &mut script);
        out.write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
