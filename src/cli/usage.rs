//! `gravimeter usage`: what a running exporter has counted, as a table.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::flags::ConfigFlags;
use super::{block_on, exporter, terminal_width};
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
    /// Where the exporter is, when it is not at web.listen of the configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Model,
    Provider,
}

impl Usage {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let base = match self.url {
            Some(url) => url,
            None => exporter::base_url(self.config.load()?.config.web.listen),
        };
        let path = match self.by {
            By::Model => "/v1/usage?by=model",
            By::Provider => "/v1/usage?by=provider",
        };
        let body = block_on(exporter::get(&base, path))?;
        let answer: Map<String, Value> = serde_json::from_slice(&body)
            .with_context(|| format!("{base} did not answer with the JSON of /v1/usage"))?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        } else {
            write!(out, "{}", table::render(&rows(answer)?, terminal_width()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The table's lines: the answer holds groups by model or by provider, as it was asked.
fn rows(mut answer: Map<String, Value>) -> anyhow::Result<table::Usage> {
    if let Some(providers) = answer.remove("providers") {
        answer.insert("models".to_owned(), providers);
    }
    serde_json::from_value(Value::Object(answer)).context("the figures of /v1/usage are not as expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_kinds_become_lines() {
        for kind in ["models", "providers"] {
            let text = format!(r#"{{"totals": {{"calls": 2}}, "{kind}": {{"x": {{"calls": 2}}}}}}"#);
            let usage = rows(serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!((usage.totals.calls, usage.models["x"].calls), (2, 2));
        }
    }
}
