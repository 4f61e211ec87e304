//! `gravimeter cascades`: the conversations that a running exporter knows, or one of them with its
//! calls.

mod shown;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::exporter::{self, Target};
use super::{block_on, terminal_width};
use crate::record::Id;
use crate::web::path_of;
use shown::{Details, Page};

/// Show the agent's conversations: when they ran, how they ended, what they spent
#[derive(Debug, Args)]
pub(super) struct Cascades {
    /// One conversation, by its id or by the beginning of it
    id: Option<String>,
    /// How many conversations are listed at most
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print the JSON of /v1/cascades instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Cascades {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let base = self.target.base_url()?;
        let body = match &self.id {
            Some(id) => block_on(one(&base, id))?,
            None => block_on(exporter::get(
                &base,
                &format!("/v1/cascades?limit={}", self.limit),
            ))?,
        };
        let answer: Value = read(&body, &base)?;
        let text = match (self.json, self.id) {
            (true, _) => format!("{}\n", serde_json::to_string_pretty(&answer)?),
            (false, Some(_)) => shown::details(&figures::<Details>(answer)?, terminal_width()),
            (false, None) => shown::list(&figures::<Page>(answer)?, terminal_width()),
        };
        write!(out, "{text}")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The answer about the one conversation whose id begins so: tables show the beginning of ids only.
async fn one(base: &str, beginning: &str) -> anyhow::Result<Bytes> {
    let all: Page = figures(read(
        &exporter::get(base, "/v1/cascades?limit=1000").await?,
        base,
    )?)?;
    let id = choose(
        beginning,
        all.cascades.iter().map(|cascade| cascade.id.as_str()),
    )?;
    let id = Id::from_wire(id).context("the exporter names an id that is none")?;
    exporter::get(base, &path_of(&id)).await
}

/// The id that is meant: the very one, or the only one that begins so.
fn choose<'a>(beginning: &str, ids: impl Iterator<Item = &'a str>) -> anyhow::Result<&'a str> {
    let meant: Vec<&str> = ids.filter(|id| id.starts_with(beginning)).collect();
    match meant.as_slice() {
        [] => bail!(
            "no conversation begins with {beginning:?}: `gravimeter cascades` lists those that are kept"
        ),
        [only] => Ok(only),
        several => match several.iter().find(|id| **id == beginning) {
            Some(exact) => Ok(exact),
            None => bail!(
                "{} conversations begin with {beginning:?}: give more of the id",
                several.len()
            ),
        },
    }
}

fn read(body: &[u8], base: &str) -> anyhow::Result<Value> {
    serde_json::from_slice(body)
        .with_context(|| format!("{base} did not answer with the JSON of /v1/cascades"))
}

fn figures<T: serde::de::DeserializeOwned>(answer: Value) -> anyhow::Result<T> {
    serde_json::from_value(answer).context("the figures of /v1/cascades are not as expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_shortened_as_long_as_it_is_one() {
        let choose = |beginning| {
            choose(beginning, ["abc", "abcd", "x1"].into_iter()).map_err(|error| error.to_string())
        };
        assert_eq!(choose("x"), Ok("x1"));
        assert_eq!(
            choose("abc"),
            Ok("abc"),
            "the very one, though another begins so too"
        );
        assert!(
            choose("ab")
                .unwrap_err()
                .contains("2 conversations begin with \"ab\"")
        );
        assert!(
            choose("y")
                .unwrap_err()
                .contains("`gravimeter cascades` lists")
        );
    }
}
