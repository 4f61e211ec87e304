//! `gravimeter usage`: what a running exporter has counted, as a table.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::exporter::{self, Target};
use super::{block_on, terminal_width};
use crate::demo::table;

/// Show the tokens that a running gravimeter has counted
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// What each line is for
    #[arg(long, value_enum, default_value = "model")]
    by: By,
    /// Print the JSON of /v1/usage instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Conversations; 'trajectory/...' and 'unknown' are calls whose conversation is not known
    Cascade,
    /// Models
    Model,
    /// Providers
    Provider,
}

impl By {
    fn path(self) -> &'static str {
        match self {
            Self::Cascade => "/v1/usage?by=cascade",
            Self::Model => "/v1/usage?by=model",
            Self::Provider => "/v1/usage?by=provider",
        }
    }

    /// Where the groups stand in the answer.
    fn field(self) -> &'static str {
        match self {
            Self::Cascade => "cascades",
            Self::Model => "models",
            Self::Provider => "providers",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Cascade => "CASCADE",
            Self::Model => "MODEL",
            Self::Provider => "PROVIDER",
        }
    }
}

impl Usage {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let base = self.target.base_url()?;
        let body = block_on(exporter::get(&base, self.by.path()))?;
        let answer: Map<String, Value> = serde_json::from_slice(&body)
            .with_context(|| format!("{base} did not answer with the JSON of /v1/usage"))?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        } else {
            let usage = rows(answer, self.by)?;
            write!(out, "{}", table::render_by(self.by.head(), &usage, terminal_width()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The table's lines: the groups that were asked for.
fn rows(mut answer: Map<String, Value>, by: By) -> anyhow::Result<table::Usage> {
    if let Some(groups) = answer.remove(by.field()) {
        answer.insert("models".to_owned(), groups);
    }
    serde_json::from_value(Value::Object(answer)).context("the figures of /v1/usage are not as expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_every_kind_become_lines() {
        for by in By::value_variants() {
            let text = format!(r#"{{"totals": {{"calls": 2}}, "{}": {{"x": {{"calls": 2}}}}}}"#, by.field());
            let usage = rows(serde_json::from_str(&text).unwrap(), *by).unwrap();
            assert_eq!((usage.totals.calls, usage.models["x"].calls), (2, 2));
        }
    }
}
