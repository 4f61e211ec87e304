//! `gravimeter completions`: scripts that let a shell complete commands and keys.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "For bash: gravimeter completions bash > ~/.local/share/bash-completion/completions/gravimeter"
)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        // The generator panics when it cannot write, memory it can.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown(), "gravimeter", &mut script);
        out.write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The command line without the commands that only the program itself runs: the generator knows
/// nothing of hiding.
fn shown() -> Command {
    let whole = super::Cli::command();
    let commands: Vec<_> = whole
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned()
        .collect();
    Command::new("gravimeter")
        .disable_help_subcommand(true)
        .args(whole.get_arguments().cloned().collect::<Vec<_>>())
        .subcommands(commands)
}
