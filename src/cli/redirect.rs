//! `gravimeter redirect`: the kernel's rules that lead the agent's traffic here.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use super::block_on;
use super::flags::ConfigFlags;
use crate::capture::cgroup;
use crate::capture::redirect::{self, FamilyStatus, Operator, Redirect as Rules, SCRIPT};
use crate::config;
use crate::launch;

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
        /// Redirect a cgroup and no user, for `gravimeter run --scope cgroup`: this path in the cgroup
        /// v2 hierarchy, or a slice of the operator's systemd
        #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["program", "no_sudoers"])]
        cgroup: Option<String>,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Take exactly these rules away again (needs root)
    Remove {
        /// Also remove the sudoers file, and the agent's user if install created it
        #[arg(long)]
        purge: bool,
        /// Those for a cgroup
        #[arg(long)]
        cgroup: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Tell whether the rules are in place; exit code 1 when they are not
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Of those for a cgroup
        #[arg(long)]
        cgroup: bool,
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
                cgroup,
                config,
            } => {
                let operator = if no_sudoers {
                    None
                } else {
                    operator_of(operator, program)?
                };
                let mut rules = config.load()?.config.redirect;
                if let Some(path) = cgroup {
                    rules = for_cgroup(rules);
                    rules.cgroup = Some(cgroup_path(path, operator.as_ref())?);
                }
                let rules = Rules::new(rules);
                write!(
                    out,
                    "{}",
                    block_on(async { Ok(rules.install(operator.as_ref()).await?) })?
                )?;
            }
            Command::Remove {
                purge,
                cgroup,
                config,
            } => {
                let rules = rules(config, cgroup)?;
                write!(
                    out,
                    "{}",
                    block_on(async { Ok(rules.remove(purge).await?) })?
                )?;
            }
            Command::Status {
                json,
                cgroup,
                config,
            } => return status(&rules(config, cgroup)?, json, out),
            Command::Script => out.write_all(SCRIPT.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The configured rules for a user, or those for a cgroup.
fn rules(config: ConfigFlags, of_cgroup: bool) -> anyhow::Result<Rules> {
    let config = config.load()?.config.redirect;
    Ok(Rules::new(match of_cgroup {
        true => for_cgroup(config),
        false => config,
    }))
}

/// The rules for a cgroup stand beside those for a user.
fn for_cgroup(config: redirect::Config) -> redirect::Config {
    redirect::Config {
        name: cgroup::INSTANCE.to_owned(),
        port: cgroup::PORT,
        ..config
    }
}

/// The path that was given, or the usual one of the operator.
fn cgroup_path(given: String, operator: Option<&Operator>) -> anyhow::Result<String> {
    if !given.is_empty() {
        return Ok(given);
    }
    let Some(Operator { user, .. }) = operator else {
        anyhow::bail!(
            "whose cgroup? Name the user who runs gravimeter (--operator), or a cgroup (--cgroup PATH)"
        );
    };
    let uid = block_on(async { Ok(launch::uid_of(user).await?) })?;
    Ok(cgroup::default_path(uid))
}

fn status(rules: &Rules, as_json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
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
