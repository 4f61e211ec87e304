//! `gravimeter rules try FILE REQUEST.json`: what rules make of a request, without sending it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::Value;

use super::difference::differences;
use super::known_models;
use crate::cli::flags::ConfigFlags;
use crate::config::rules_of;
use crate::dialect::usual_url;
use crate::record::{Caller, Host, Label as _, ProgramName, RepositoryName, RuleResult, SessionId};
use crate::rules::{Decision, Outcome, Plan, RequestHead, Rules, TooLarge};

/// Show what rules make of a request, without sending it
///
/// The request is the JSON of its body. Where it would go is taken from its form, unless --url says
/// it. Exit code 1 when a rule matches the request and cannot be applied to it.
#[derive(Debug, Args)]
pub(super) struct Try {
    /// A file of rules
    file: PathBuf,
    /// A file with the body of a request, as JSON
    request: PathBuf,
    /// Where the request goes: https://HOST/PATH
    #[arg(long)]
    url: Option<Uri>,
    /// A header field of the request, as NAME:VALUE
    #[arg(long, value_name = "NAME:VALUE", value_parser = field)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// The program that asks
    #[arg(long)]
    program: Option<String>,
    /// The repository that it works in
    #[arg(long)]
    repository: Option<String>,
    /// The session that it runs in
    #[arg(long)]
    session: Option<String>,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Try {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let loaded = self.config.clone().load()?;
        let rules = rules_of(&self.file, &loaded.config.relay.intercept)?;
        known_models(&rules, &loaded)?;
        let request = self.request.display();
        let body = std::fs::read(&self.request).with_context(|| request.to_string())?;
        let read: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{request} is not JSON: write the body of a request"))?;
        let url = match (&self.url, usual_url(&read)) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => Uri::from_static(url),
            (None, None) => bail!(
                "{request} has the form of no known provider: say where it goes, as --url https://api.example.com/v1/messages"
            ),
        };
        let (Some(host), Some(target)) = (url.host(), url.path_and_query()) else {
            bail!("{url} is not an address: write --url https://HOST/PATH");
        };
        let host = Host::parse(host).with_context(|| format!("--url: {host}"))?;
        let mut headers: HeaderMap = self.header.iter().cloned().collect();
        let tried = Tried {
            host: &host,
            target,
            body: &body,
            caller: &self.caller()?,
        };
        let Some(outcome) = tried.apply(&rules, &mut headers) else {
            writeln!(
                out,
                "No rule matches POST {url}: the request goes as it is."
            )?;
            return Ok(ExitCode::SUCCESS);
        };
        writeln!(out, "POST {url}")?;
        let before: HeaderMap = self.header.iter().cloned().collect();
        tell(&outcome, &read, (&before, &headers), out)?;
        let failed = |result| matches!(result, RuleResult::Failed | RuleResult::TooLarge);
        let is_failed = outcome.uses.iter().any(|used| failed(used.result));
        Ok(if is_failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn caller(&self) -> anyhow::Result<Caller> {
        let session = self.session.as_deref();
        let parse = |text| {
            SessionId::parse(text).context("--session: an id has letters, digits, '-' and '_'")
        };
        Ok(Caller {
            session: session.map(parse).transpose()?,
            program: self.program.as_deref().and_then(ProgramName::new),
            repository: self.repository.as_deref().and_then(RepositoryName::new),
            branch: None,
        })
    }
}

/// A request that rules are tried on.
struct Tried<'a> {
    host: &'a Host,
    target: &'a PathAndQuery,
    body: &'a [u8],
    caller: &'a Caller,
}

impl Tried<'_> {
    /// `None` if no rule matches. Dry runs are tried like all others.
    fn apply(&self, rules: &Rules, headers: &mut HeaderMap) -> Option<Outcome> {
        let rules = rules.clone().without_dry_runs();
        let plan = rules.plan(&RequestHead {
            host: self.host,
            method: &Method::POST,
            target: self.target,
            headers,
            caller: self.caller,
        });
        let outcome = match plan {
            Plan::Pass => return None,
            Plan::Head(plan) => plan.apply(headers),
            Plan::Body { limit, with } if self.body.len() > limit => {
                with.too_large(headers, TooLarge::Limit)
            }
            Plan::Body { with, .. } => with.apply(headers, self.body),
        };
        (!outcome.uses.is_empty()).then_some(outcome)
    }
}

/// Each rule with what it did, and what is sent instead.
fn tell(
    outcome: &Outcome,
    body: &Value,
    (before, after): (&HeaderMap, &HeaderMap),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for used in &outcome.uses {
        let reason = used.reason.as_ref().map(|reason| format!(": {reason}"));
        let result = used.result.as_str().replace('_', " ");
        writeln!(
            out,
            "rule {}: {result}{}",
            used.rule,
            reason.unwrap_or_default()
        )?;
    }
    match &outcome.decision {
        Decision::Unchanged => writeln!(out, "The request goes as it is.")?,
        Decision::Changed {
            target,
            body: changed,
            ..
        } => {
            if let Some(target) = target {
                writeln!(out, "  path: {target}")?;
            }
            for line in fields(before, after) {
                writeln!(out, "  {line}")?;
            }
            let changed = changed.as_ref().map_or(Bytes::new(), Bytes::clone);
            if let Ok(changed) = serde_json::from_slice(&changed) {
                for line in differences(body, &changed) {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        Decision::Denied(response) => writeln!(
            out,
            "The agent is answered {}: {}",
            response.status(),
            String::from_utf8_lossy(response.body())
        )?,
    }
    Ok(())
}

/// The header fields that differ, but for the length of the body.
fn fields(before: &HeaderMap, after: &HeaderMap) -> Vec<String> {
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    let removed = removed.map(|name| format!("{name}: is removed"));
    let set = after.iter().filter(|(name, value)| {
        *name != http::header::CONTENT_LENGTH && before.get(*name) != Some(*value)
    });
    let set = set.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        format!("{name}: {value}")
    });
    removed.chain(set).collect()
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let how = || "write NAME:VALUE, such as x-title:tests".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(how)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| how())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| how())?;
    Ok((name, value))
}
