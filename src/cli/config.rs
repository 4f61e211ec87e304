//! `gravimeter config`: try a configuration, and print the texts that are made from the table of
//! keys.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::flags::ConfigFlags;
use crate::config::{Loaded, Origin, Source, example, reference};
use crate::web::access::Access;

/// Check the configuration, or print what can be configured
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration without starting anything; exit code 2 when something is wrong
    Check {
        /// Print every key with its value and where it was set
        #[arg(long)]
        explain: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Print a configuration file with every key and its default
    Example,
    /// Print the reference of all keys, in Markdown
    Reference,
}

impl Config {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Check { explain, config } => {
                let loaded = config.load()?;
                let web = &loaded.config.web;
                if let Some(path) = &web.config_file {
                    Access::open(
                        path,
                        web.listen.is_some_and(|address| web.must_protect(address)),
                    )?;
                }
                for warning in &loaded.warnings {
                    writeln!(io::stderr(), "warning: {warning}; it is passed over")?;
                }
                check(&loaded, explain, out)?;
            }
            Command::Example => out.write_all(example().as_bytes())?,
            Command::Reference => out.write_all(reference().as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(loaded: &Loaded, explain: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if explain {
        for line in explained(&loaded.origins) {
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    let set = loaded
        .origins
        .iter()
        .filter(|origin| origin.source != Source::Default)
        .count();
    match &loaded.file {
        Some(path) => writeln!(
            out,
            "The configuration is valid ({}; {set} keys set).",
            path.display()
        )?,
        None => writeln!(out, "The configuration is valid (no file; {set} keys set).")?,
    }
    Ok(())
}

/// One line for each key: `key = value  # source`, sources in one column.
fn explained(origins: &[Origin]) -> Vec<String> {
    let setting = |origin: &Origin| match origin.value.as_str() {
        "" => format!("# {} is not set", origin.key),
        value => format!(
            "{} = {}",
            origin.key,
            value.lines().map(str::trim).collect::<Vec<_>>().join(" ")
        ),
    };
    let settings: Vec<_> = origins.iter().map(setting).collect();
    let usual = settings
        .iter()
        .map(String::len)
        .filter(|length| *length <= COLUMN)
        .max()
        .unwrap_or_default();
    let pairs = settings.iter().zip(origins);
    pairs
        .map(|(setting, origin)| format!("{setting:<usual$}  # {}", origin.source))
        .collect()
}

/// Longer settings do not push the column of sources further right.
const COLUMN: usize = 70;
