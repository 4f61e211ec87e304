//! Answers of `/v1/usage` and `/v1/sessions` as CSV (RFC 4180): a head, and a line for each group or
//! session. There is no line of totals, because adding up a column would then count everything twice.
//!
//! Keys and names come from the traffic, and spreadsheets take a cell that begins with `=` for a
//! formula to run. Such a text gets an apostrophe before it, as OWASP advises; so does one that
//! begins with an apostrophe, so that it can be taken off again.

use std::borrow::Cow;

use super::groups::{ListedGroup, Of};
use super::report::UsageReport;
use super::sessions::{SessionPage, SessionUsage};
use super::usage::Usage;
use crate::ledger::file::grouping::By;
use crate::record::{Caller, DisplayName, Id, Label, Model, Outcome, TokenKind};

impl UsageReport {
    /// The groups of that grouping, in the order of pages.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn to_csv(&self, by: By) -> Result<Vec<u8>, csv::Error> {
        let heads = [by.as_str()].into_iter().chain(beside(by).iter().copied());
        let groups = self.list(by);
        let lines = groups.iter().map(|group| (texts(group, by), &group.usage));
        sheet(heads, lines)
    }
}

impl SessionPage {
    /// The sessions in their order.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let texts: Vec<_> = self.sessions.iter().map(texts_of_session).collect();
        let texts = texts
            .iter()
            .map(|texts| texts.iter().map(String::as_str).collect());
        let usages = self.sessions.iter().map(|session| &session.usage);
        sheet(SESSION_HEADS.into_iter(), texts.zip(usages))
    }
}

/// A head, and lines with the figures of their calls behind their own texts.
fn sheet<'a>(
    heads_of_texts: impl Iterator<Item = &'a str>,
    lines: impl Iterator<Item = (Vec<&'a str>, &'a Usage)>,
) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let outcomes = Outcome::ALL
        .iter()
        .map(|outcome| format!("{outcome}_calls"));
    let head = heads_of_texts.map(str::to_owned).chain(heads());
    writer.write_record(head.chain(outcomes).chain([SATURATED.to_owned()]))?;
    for (texts, usage) in lines {
        let texts = texts.into_iter().map(|text| inert(text).into_owned());
        writer.write_record(texts.chain(figures(usage)))?;
    }
    writer
        .into_inner()
        .map_err(|error| error.into_error().into())
}

/// What stands of a session before its figures.
const SESSION_HEADS: [&str; 8] = [
    "session",
    "state",
    "program",
    "repository",
    "folder",
    "branch",
    "started_at",
    "ended_at",
];

/// In the order of [`SESSION_HEADS`]; what is not known is empty.
fn texts_of_session(session: &SessionUsage) -> [String; 8] {
    fn shown(value: Option<impl ToString>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    [
        session.id.to_string(),
        session.state.to_string(),
        session.program.to_string(),
        shown(session.repository.as_ref()),
        shown(session.folder.as_ref()),
        shown(session.branch.as_ref()),
        session.started_at.to_string(),
        shown(session.ended_at),
    ]
}

/// What the group is of, and what stands beside that. A model has its own name here: its provider
/// has a column.
fn texts(group: &ListedGroup, by: By) -> Vec<&str> {
    let key = group.place.key.as_str();
    let name = shown(group.display_name.as_ref());
    match &group.of {
        Of::Caller { caller, model, .. } => {
            let mut texts = texts_of_caller(by, caller.as_ref(), key);
            texts.extend([model.as_ref().map_or("", Model::as_str), name]);
            texts
        }
        Of::Cascade { model, .. } | Of::Rule { model, .. } => {
            vec![key, model.as_ref().map_or("", Model::as_str), name]
        }
        Of::Model { model, provider } => vec![model.as_str(), provider.as_str(), name],
        Of::Subagent {
            cascade,
            subagent,
            parent_subagent,
            subagent_kind,
            model,
            ..
        } => {
            let subagent = subagent.as_ref().map_or(key, Id::as_str);
            let model = model.as_ref().map_or("", Model::as_str);
            vec![
                subagent,
                text(cascade),
                text(parent_subagent),
                text(subagent_kind),
                model,
                name,
            ]
        }
        Of::Day { .. }
        | Of::Hour { .. }
        | Of::Month { .. }
        | Of::Operation { .. }
        | Of::Provider { .. }
        | Of::Week { .. } => vec![key],
    }
}

/// The caller's name, or the key of all others, and what stands beside it: in the order of
/// [`beside`].
fn texts_of_caller<'a>(by: By, caller: Option<&'a Caller>, key: &'a str) -> Vec<&'a str> {
    let [session, program, repository, branch] = caller.map_or([None; 4], Caller::names);
    let [repository, branch] = [repository, branch].map(Option::unwrap_or_default);
    match (by, caller) {
        (By::Session, _) => vec![
            session.unwrap_or(key),
            program.unwrap_or_default(),
            repository,
            branch,
        ],
        (By::Branch, Some(_)) => vec![branch, repository],
        (By::Branch, None) => vec![key, ""],
        (By::Program, _) => vec![program.unwrap_or(key)],
        (By::Repository, Some(_)) => vec![repository],
        _ => vec![key],
    }
}

fn text(id: &Option<Id>) -> &str {
    id.as_ref().map_or("", Id::as_str)
}

fn shown(name: Option<&DisplayName>) -> &str {
    name.map_or("", DisplayName::as_str)
}

/// What stands beside the key.
fn beside(by: By) -> &'static [&'static str] {
    match by {
        By::Branch => &["repository", "model", "display_name"],
        By::Cascade | By::Program | By::Repository | By::Rule => &["model", "display_name"],
        By::Session => &["program", "repository", "branch", "model", "display_name"],
        By::Model => &["provider", "display_name"],
        By::Subagent => &[
            "cascade",
            "parent_subagent",
            "subagent_kind",
            "model",
            "display_name",
        ],
        By::Day | By::Hour | By::Month | By::Operation | By::Provider | By::Week => &[],
    }
}

/// In the order of [`heads`], then calls by how they ended, then whether figures are lower
/// bounds. A cost that is not known is an empty cell.
fn figures(usage: &Usage) -> impl Iterator<Item = String> {
    let tokens = usage.tokens.by_public_name().map(|(_, tokens)| tokens);
    let figures = [usage.calls]
        .into_iter()
        .chain(tokens)
        .chain([usage.total_tokens]);
    let quality = &usage.usage_quality;
    let trust = [
        usage.unpriced_calls,
        quality.exact,
        quality.partial,
        quality.unknown,
    ];
    let outcomes = Outcome::ALL
        .iter()
        .map(|outcome| usage.outcomes.get(outcome).copied().unwrap_or(0));
    let cost = usage.cost.map_or_else(String::new, |cost| cost.to_string());
    let numbers = trust
        .into_iter()
        .chain(outcomes)
        .map(|number| number.to_string());
    let figures = figures
        .map(|number| number.to_string())
        .chain([cost])
        .chain(numbers);
    figures.chain([usage.saturated.to_string()])
}

/// The heads of the figures that every group has.
fn heads() -> impl Iterator<Item = String> {
    let tokens = TokenKind::public_names().chain(["total"]);
    let tokens = tokens.map(|name| format!("{name}_tokens"));
    let others = OTHERS.iter().map(|head| (*head).to_owned());
    ["calls".to_owned()].into_iter().chain(tokens).chain(others)
}

const OTHERS: [&str; 5] = [
    "cost_usd",
    "unpriced_calls",
    "exact_calls",
    "partial_calls",
    "unknown_calls",
];

const SATURATED: &str = "saturated";

/// A text that no spreadsheet runs.
fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠',
    ]) {
        return format!("'{text}").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_every_text_can_be_had_back() {
        for (text, cell) in [
            ("gemini-3-pro", "gemini-3-pro"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r\n=1", "'\r\n=1"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("", ""),
        ] {
            assert_eq!(inert(text), cell);
        }
    }
}
