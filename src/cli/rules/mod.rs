//! `gravimeter rules`: check rules that change requests, and try them on a request.

mod difference;
mod try_out;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::flags::ConfigFlags;
use crate::config::{Loaded, Mistakes, rule_mistakes, rules_of};
use crate::rules::{Rules, unknown_models};
use try_out::Try;

/// Check rules that change requests, or try them on a request
#[derive(Debug, Args)]
pub(super) struct RulesCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them in a process"
)]
enum Action {
    Check(Check),
    Try(Try),
}

/// Check rules without starting anything; exit code 2 when something is wrong
///
/// Each mistake is named with its file, line, key and what to write instead: keys that do not exist,
/// rules that cannot match, two rules that contradict each other, models whose price is not known.
#[derive(Debug, Args)]
struct Check {
    /// A file of rules; without it, the rules that the configuration holds and names
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFlags,
}

impl RulesCommand {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Check(check) => check.run(out),
            Action::Try(command) => command.run(out),
        }
    }
}

impl Check {
    fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let loaded = self.config.load()?;
        let rules = match &self.file {
            Some(path) => rules_of(path, &loaded.config.relay.intercept)?,
            None => Rules::clone(&loaded.config.rules),
        };
        known_models(&rules, &loaded)?;
        let names: Vec<_> = rules.names().map(ToString::to_string).collect();
        match names.as_slice() {
            [] => writeln!(out, "There are no rules: no request is changed.")?,
            [name] => writeln!(out, "The rule {name} is valid.")?,
            names => writeln!(
                out,
                "The {} rules are valid, in this order: {}.",
                names.len(),
                names.join(", ")
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Refuses models whose price nobody knows.
fn known_models(rules: &Rules, loaded: &Loaded) -> Result<(), Mistakes> {
    let unknown = unknown_models(rules, |model| loaded.config.prices.know(model));
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(rule_mistakes(unknown))
    }
}
