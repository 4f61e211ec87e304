//! `gravimeter completions`: scripts that let a shell complete commands and keys.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
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
        clap_complete::generate(self.shell, &mut for_people(), "gravimeter", &mut script);
        out.write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The commands without those that gravimeter starts by itself: the generators do not pass over hidden ones.
fn for_people() -> Command {
    let all = super::Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("gravimeter").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true).subcommands(shown)
}
