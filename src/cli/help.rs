//! `gravimeter help`: what a command is for, and all keys of the configuration.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};

use super::flags::keys_help;
use super::{Cli, WRONG_INPUT};

/// Explain a command, or with `config` every key of the configuration
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Help {
    /// The command, or config
    topic: Vec<String>,
}

impl Help {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        if self.topic == ["config"] {
            writeln!(out, "{}", keys_help())?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut all = Cli::command();
        all.build();
        match find(&mut all, &self.topic) {
            Some(command) => {
                writeln!(out, "{}", command.render_long_help())?;
                Ok(ExitCode::SUCCESS)
            }
            None => {
                let topic = self.topic.join(" ");
                let names = all
                    .get_subcommands()
                    .filter(|command| !command.is_hide_set());
                let names: Vec<_> = names.map(Command::get_name).collect();
                writeln!(
                    std::io::stderr(),
                    "error: there is no command {topic:?}: the commands are {}",
                    names.join(", ")
                )
                .context("standard error")?;
                Ok(ExitCode::from(WRONG_INPUT))
            }
        }
    }
}

/// The command of that name below `command`.
fn find<'a>(command: &'a mut Command, topic: &[String]) -> Option<&'a mut Command> {
    match topic.split_first() {
        None => Some(command),
        Some((name, rest)) => find(command.find_subcommand_mut(name)?, rest),
    }
}
