//! `gravimeter statusline`: one line about what is spent, at once.
//!
//! Asks the running exporter for what the template shows and nothing else; where none runs, reads the
//! ledger that one has left. The line is empty where neither is there: a prompt has no use for words
//! about that.

mod figures;
mod template;

use std::io::{self, Read as _, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;

use super::exporter::Target;
use crate::record::Id;
use figures::Figures;
use template::Template;

/// Print one line about what is spent, for a prompt, tmux or the status line of an agent
///
/// Where nothing runs it shows what the ledger holds, or an empty line.
#[derive(Debug, Args)]
#[command(after_help = "\
Figures: {session_cost} {session_calls} {session_tokens} {today_cost} {today_calls} {today_tokens}
         {limit_left} {limit_window} {limit_reset} {limit_provider}
A part in [brackets] is left out where one of its figures is not known.

Examples:
  gravimeter statusline --format '{today_cost} today'
  gravimeter statusline --stdin          for an agent that writes JSON with a session_id")]
pub(super) struct Statusline {
    /// The line, with figures in braces
    #[arg(long, value_name = "TEMPLATE", default_value = DEFAULT_FORMAT)]
    format: Template,
    /// The session's figures are those of this conversation
    #[arg(long, value_name = "ID", value_parser = id)]
    session: Option<Id>,
    /// Take the session from the JSON on standard input, where it is called session_id
    #[arg(long, conflicts_with = "session")]
    stdin: bool,
    #[command(flatten)]
    target: Target,
}

impl Statusline {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let session = if self.stdin {
            Some(session_of_input()?)
        } else {
            self.session
        };
        let (base, ledger) = self.target.base_url_and_ledger()?;
        let figures = Figures::find(&self.format, session.as_ref(), &base, ledger.as_deref())?;
        writeln!(out, "{}", self.format.fill(|field| figures.text(field)))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn id(text: &str) -> Result<Id, String> {
    Id::from_wire(text).ok_or_else(|| {
        format!(
            "an id is at most {} printable ASCII characters",
            Id::MAX_BYTES
        )
    })
}

/// The part of an agent's own words that is read.
#[derive(Deserialize)]
struct Input {
    session_id: String,
}

fn session_of_input() -> anyhow::Result<Id> {
    let mut text = Vec::new();
    io::stdin().take(MAX_INPUT).read_to_end(&mut text)?;
    // The message does not repeat what was read.
    let input: Option<Input> = serde_json::from_slice(&text).ok();
    let input = input
        .context("standard input is no JSON object with a session_id, as --stdin expects it")?;
    id(&input.session_id).map_err(|why| anyhow::anyhow!("session_id of standard input: {why}"))
}

/// What a prompt has room for.
const DEFAULT_FORMAT: &str =
    "[{session_cost} session, ]{today_cost} today[, {limit_left} left of {limit_window}]";

/// An agent writes some 2 kB.
const MAX_INPUT: u64 = 64 << 10;
