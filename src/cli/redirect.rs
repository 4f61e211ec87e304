//! `gravimeter redirect`: the kernel's rules that lead the agent's traffic here.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use super::block_on;
use super::flags::ConfigFlags;
use crate::capture::redirect::{FamilyStatus, Operator, Redirect as Rules, SCRIPT};
use crate::config;

/// Install, remove or look at the rules that redirect the agent's traffic
#[derive(Debug, Args)]
#[command(
    after_help = "Who is redirected where is configuration: capture.user and capture.listen."
)]
pub(super) struct Redirect {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put the rules in place, for IPv4 and IPv6, and create the agent's user if it is missing
    /// (needs root)
    Install {
        /// Who may run gravimeter and start the agent by sudo; without it the user who called sudo
        #[arg(long, value_name = "USER")]
        operator: Option<String>,
        /// The gravimeter executable that the sudoers file names; without it the running one
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
        /// Write no sudoers file: for gravimeter that runs as root
        #[arg(long, conflicts_with_all = ["operator", "program"])]
        no_sudoers: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Take exactly these rules away again (needs root)
    Remove {
        /// Also remove the sudoers file, and the agent's user if install created it
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Tell whether the rules are in place; exit code 1 when they are not
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Print the script that all this runs, to read before it gets root
    Script,
}

impl Redirect {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Install {
                operator,
                program,
                no_sudoers,
                config,
            } => {
                let rules = Rules::new(config.load()?.config.redirect);
                let operator = if no_sudoers {
                    None
                } else {
                    operator_of(operator, program)?
                };
                write!(
                    out,
                    "{}",
                    block_on(async { Ok(rules.install(operator.as_ref()).await?) })?
                )?;
            }
            Command::Remove { purge, config } => {
                let rules = Rules::new(config.load()?.config.redirect);
                write!(
                    out,
                    "{}",
                    block_on(async { Ok(rules.remove(purge).await?) })?
                )?;
            }
            Command::Status { json, config } => return status(config, json, out),
            Command::Script => out.write_all(SCRIPT.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn status(config: ConfigFlags, as_json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let rules = Rules::new(config.load()?.config.redirect);
    let status = block_on(async { Ok(rules.status().await?) })?;
    let (ipv4, ipv6) = (word(status.ipv4), word(status.ipv6));
    if as_json {
        writeln!(
            out,
            "{}",
            json!({"ipv4": ipv4, "ipv6": ipv6, "complete": status.is_complete()})
        )?;
    } else {
        writeln!(out, "ipv4 {ipv4}\nipv6 {ipv6}")?;
    }
    Ok(if status.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) fn word(status: FamilyStatus) -> &'static str {
    match status {
        FamilyStatus::Active => "active",
        FamilyStatus::Disabled => "disabled",
        FamilyStatus::Inactive => "inactive",
        FamilyStatus::Partial => "partial",
    }
}

/// Nobody is an operator when root itself installs the rules without sudo: root starts the agent
/// without it, too.
fn operator_of(user: Option<String>, program: Option<PathBuf>) -> anyhow::Result<Option<Operator>> {
    let Some(user) = user.or_else(config::sudo_user) else {
        return Ok(None);
    };
    let program = match program {
        Some(program) => program,
        None => std::env::current_exe()
            .context("the path of the running program is not known: give --program")?,
    };
    ensure!(
        program.is_absolute(),
        "{} is not a whole path: give --program from the root",
        program.display()
    );
    Ok(Some(Operator { user, program }))
}
