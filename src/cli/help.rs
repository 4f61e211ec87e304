//! `gravimeter help`: what a command is for, and all keys of the configuration.

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser as _};

use super::flags::keys_help;
use super::{Cli, WRONG_INPUT};

/// Explain a command, or with `config` every key of the configuration
#[derive(Debug, Args)]
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
        let [program, help] = ["gravimeter", "--help"].map(str::to_owned);
        let words = [program].into_iter().chain(self.topic).chain([help]);
        match Cli::try_parse_from(words) {
            Err(explained) if explained.kind() == ErrorKind::DisplayHelp => {
                write!(out, "{}", explained.render())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(unknown) => {
                unknown.print()?;
                Ok(ExitCode::from(WRONG_INPUT))
            }
            Ok(_) => anyhow::bail!("there is no help of this command"),
        }
    }
}
