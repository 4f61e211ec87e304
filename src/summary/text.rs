//! The report for people: lines of at most [`WIDTH`] columns, in words and figures that need no
//! colour.

use std::time::SystemTime;

use super::report::{Circumstances, Limit, ModelFigures, Recorded, Report, Tunnelled};
use crate::budget::{BudgetStatus, State};
use crate::record::{Label as _, RefuseReason, TokenKind, TunnelReason, printable};
use crate::term::figures::{dollars, duration, grouped, percent, percent_left};
use crate::term::grid::{Column, Grid};

/// The report. `now` is the time of the report.
///
/// Where no call was seen, it is a single line that says so, with what may help.
#[must_use]
pub fn render(report: &Report, now: SystemTime) -> String {
    if report.calls == 0 && report.unseen.unread.is_empty() {
        return nothing_seen(report);
    }
    let mut text = String::new();
    for (label, words) in entries(report, now) {
        text.push_str(&entry(label, &words));
    }
    if report.models.len() > 1 {
        text.push('\n');
        text.push_str(&models(&report.models));
    }
    text
}

/// The width of a line: that of a terminal of the usual size.
const WIDTH: usize = 80;

/// What stands before the words of an entry.
const LABEL: usize = 14;

/// Hosts and paths that are shown of one kind.
const SHOWN: usize = 3;

fn entries(report: &Report, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut entries = vec![
        ("gravimeter", headline(&report.circumstances, report)),
        ("calls", calls(report)),
        ("tokens", tokens(report)),
    ];
    if report.conversations > 0 {
        entries.push(("conversations", conversations(report)));
    }
    if let Some(share) = report.cache_share {
        let words = format!("{} of the input was read from the cache", percent(share));
        entries.push(("cache", words));
    }
    entries.push(("cost", cost(report)));
    if let [model] = report.models.as_slice() {
        entries.push(("model", model_name(model)));
    }
    if let (Some(p50), Some(p95)) = (
        report.first_chunk_p50_seconds,
        report.first_chunk_p95_seconds,
    ) {
        let words = format!("p50 {}, p95 {}", duration(p50), duration(p95));
        entries.push(("first chunk", words));
    }
    // Those of a rate are full again before anybody has read this.
    let plans = report.limits.iter().filter(|limit| !limit.window.is_rate());
    entries.extend(plans.map(|limit| ("limit", left(limit, now))));
    entries.extend(unseen(report).into_iter().map(|words| ("not seen", words)));
    entries.extend(
        report
            .circumstances
            .budgets
            .iter()
            .map(|status| ("budget", budget(status))),
    );
    entries.push(("scope", scope(&report.circumstances)));
    entries.push(("details", details(&report.circumstances)));
    entries
}

fn headline(circumstances: &Circumstances, report: &Report) -> String {
    let (total, model) = (circumstances.duration_seconds, report.model_seconds);
    let mut words = format!(
        "{} ran for {}; a model worked for {} of it",
        circumstances.program,
        duration(total),
        duration(model.min(total)),
    );
    if total > 0.0 {
        words.push_str(&format!(" ({})", percent((model / total).min(1.0))));
    }
    words
}

fn calls(report: &Report) -> String {
    let outcomes = report.outcomes.iter();
    let outcomes = outcomes.map(|(outcome, count)| format!("{} {outcome}", grouped(*count)));
    format!("{}: {}", grouped(report.calls), list(outcomes))
}

fn conversations(report: &Report) -> String {
    let turns = report.runs.values().sum();
    let outcomes = report.runs.iter();
    let outcomes = outcomes.map(|(outcome, count)| format!("{} {outcome}", grouped(*count)));
    let count = u64::try_from(report.conversations).unwrap_or(u64::MAX);
    let turns = plural(turns, "turn");
    format!("{} with {turns}: {}", grouped(count), list(outcomes))
}

fn tokens(report: &Report) -> String {
    let kinds = report
        .tokens
        .by_public_name()
        .filter(|(_, count)| *count > 0);
    let kinds = kinds.map(|(kind, count)| format!("{} {}", grouped(count), kind.replace('_', " ")));
    match report.tokens.sum(TokenKind::ALL) {
        0 => "none reported".to_owned(),
        total => format!("{}: {}", grouped(total), list(kinds)),
    }
}

fn cost(report: &Report) -> String {
    match (report.cost_usd, report.unpriced_calls) {
        (None, 0) => "none".to_owned(),
        (None, calls) => format!("unknown: {} without a price", plural(calls, "call")),
        (Some(cost), 0) => dollars(cost.usd()),
        (Some(cost), calls) => format!(
            "at least {} ({} without a price)",
            dollars(cost.usd()),
            plural(calls, "call")
        ),
    }
}

/// The model that was asked for, and those that answered where they are others.
fn model_name(model: &ModelFigures) -> String {
    let others = model.served.iter().filter(|served| **served != model.asked);
    match list(others.map(ToString::to_string)) {
        none if none.is_empty() => model.asked.to_string(),
        others => format!("{} (answered: {others})", model.asked),
    }
}

fn models(models: &[ModelFigures]) -> String {
    let of = |figure: fn(&ModelFigures) -> String| models.iter().map(figure).collect::<Vec<_>>();
    let grid = Grid::new("MODEL", of(model_name))
        .column(Column::figures(
            "CALLS",
            1,
            of(|model| grouped(model.calls)),
        ))
        .column(Column::figures(
            "TOKENS",
            0,
            of(|model| grouped(model.total_tokens())),
        ))
        .column(Column::figures(
            "COST",
            0,
            of(|model| {
                model
                    .cost_usd
                    .map_or_else(|| "-".to_owned(), |cost| dollars(cost.usd()))
            }),
        ));
    grid.render(WIDTH)
}

fn left(limit: &Limit, now: SystemTime) -> String {
    let mut words = format!("{} of {}", percent_left(limit.remaining), limit.model);
    if limit.window.as_str() != "unspecified" {
        words.push_str(&format!(" ({})", limit.window));
    }
    words.push_str(" left");
    if let Some(until) = limit.resets_at.and_then(|at| at.duration_since(now).ok()) {
        words.push_str(&format!(
            ", full again in {}",
            duration(until.as_secs_f64())
        ));
    }
    words
}

/// What is spent of a budget: of the group that has spent most, where it has several.
fn budget(status: &BudgetStatus) -> String {
    let BudgetStatus {
        name,
        limit,
        per,
        state,
        used,
        used_ratio,
        is_lower_bound,
        until,
        ..
    } = status;
    let at_least = if *is_lower_bound { "at least " } else { "" };
    let spent = percent_left(*used_ratio);
    let words = format!("{name}: {at_least}{used} of {limit} a {per} spent ({spent})");
    match (state, until) {
        (State::Ok, _) => words,
        (State::Stopped, Some(until)) => format!("{words}, stopped until {until}"),
        (state, _) => format!("{words}, {state}"),
    }
}

/// What the figures lack, the gravest first.
fn unseen(report: &Report) -> Vec<String> {
    let unseen = &report.unseen;
    let mut found = Vec::new();
    found.extend(report.circumstances.scope_failure.clone());
    if let Some(pid) = report.circumstances.already_running {
        let program = &report.circumstances.program;
        found.push(format!(
            "{program} ran already (process {pid}) and may have taken over: quit it, then start it \
             again by `gravimeter run`"
        ));
    }
    if !unseen.untrusted.is_empty() {
        let hosts = unseen
            .untrusted
            .iter()
            .map(|untrusted| untrusted.host.to_string());
        found.push(format!(
            "a client does not trust Gravimeter's CA for {}: give it the file that SSL_CERT_FILE \
             or NODE_EXTRA_CA_CERTS names inside (`gravimeter run -- env`)",
            first(hosts)
        ));
    }
    if !unseen.unread.is_empty() {
        let calls = unseen.unread.iter().map(|unread| unread.calls).sum();
        let places = unseen
            .unread
            .iter()
            .map(|unread| format!("{}{}", unread.host, unread.path));
        found.push(format!(
            "{} in no format that is read, to {}",
            plural(calls, "call"),
            first(places)
        ));
    }
    if unseen.lost > 0 {
        found.push(format!(
            "the figures of {} were lost",
            plural(unseen.lost, "call")
        ));
    }
    let stopped = unseen.refused.get(&RefuseReason::Budget).copied();
    found.extend(stopped.map(|count| {
        let count = plural(count, "connection");
        format!("{count} refused, as a budget is used up: `gravimeter budget`")
    }));
    let refused: u64 = unseen
        .refused
        .iter()
        .filter(|(reason, _)| !WITHOUT_LOSS.contains(reason))
        .map(|(_, count)| *count)
        .sum();
    if refused > 0 {
        found.push(format!(
            "{} refused (see the log)",
            plural(refused, "connection")
        ));
    }
    for reason in TunnelReason::ALL {
        let of_reason = |tunnelled: &&Tunnelled| tunnelled.reason == *reason;
        let tunnelled: Vec<_> = unseen.tunnelled.iter().filter(of_reason).collect();
        if !tunnelled.is_empty() {
            found.push(passed_on(*reason, &tunnelled));
        }
    }
    found
}

fn passed_on(reason: TunnelReason, tunnelled: &[&Tunnelled]) -> String {
    let count = tunnelled
        .iter()
        .map(|tunnelled| tunnelled.connections)
        .sum();
    let hosts = tunnelled
        .iter()
        .filter_map(|tunnelled| tunnelled.host.as_ref().map(ToString::to_string));
    let count = plural(count, "connection");
    match (first(hosts), reason) {
        (hosts, TunnelReason::NotSelected) => format!("{count} to other hosts: {hosts}"),
        (hosts, reason) if hosts.is_empty() => format!("{count} passed on unread ({reason})"),
        (hosts, reason) => format!("{count} passed on unread ({reason}): {hosts}"),
    }
}

fn scope(circumstances: &Circumstances) -> String {
    let scope = &*circumstances.scope;
    let seen = match scope {
        "proxy" => "what does not use HTTPS_PROXY is not seen",
        _ => "all connections to port 443",
    };
    match &circumstances.scope_reason {
        Some(reason) => format!("{scope}: {seen} ({reason})"),
        None => format!("{scope}: {seen}"),
    }
}

fn details(circumstances: &Circumstances) -> String {
    let log = log(circumstances);
    match &circumstances.ledger {
        Recorded::File(_) => format!("`gravimeter usage`, log {log}"),
        Recorded::Later(_) => {
            format!("in the ledger when the other gravimeter that has it has ended; log {log}")
        }
        Recorded::Nowhere(why) => {
            format!("not kept in the ledger ({}); log {log}", printable(why))
        }
    }
}

fn log(circumstances: &Circumstances) -> String {
    let home = circumstances.home.as_ref();
    match home.and_then(|home| circumstances.log.strip_prefix(home).ok()) {
        Some(below) => format!("~/{}", below.display()),
        None => circumstances.log.display().to_string(),
    }
}

fn nothing_seen(report: &Report) -> String {
    let why = unseen(report).into_iter().next();
    let remedy = why.unwrap_or_else(|| match &*report.circumstances.scope {
        "proxy" => "does it use HTTPS_PROXY? --scope namespace needs no help".to_owned(),
        _ => "did it use another port or proxy?".to_owned(),
    });
    let line = format!(
        "gravimeter: no call of a model was seen; {remedy} (log {})",
        log(&report.circumstances)
    );
    format!("{}\n", printable(&line))
}

/// Connections that were refused without losing anything of a run, or that are named by themselves.
const WITHOUT_LOSS: [RefuseReason; 4] = [
    RefuseReason::AgentGone,
    RefuseReason::Budget,
    RefuseReason::Loop,
    RefuseReason::Shutdown,
];

/// A label and its words, broken at spaces. A word that is too long for a line stays whole.
fn entry(label: &str, words: &str) -> String {
    let mut text = format!("{label:<LABEL$}");
    let mut column = LABEL;
    for (number, word) in printable(words).split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && column + 1 + length > WIDTH {
            text.push_str(&format!("\n{:<LABEL$}", ""));
            column = LABEL;
        } else if number > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
    text
}

fn list(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// The first of them, and how many there are beyond.
fn first(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    let more = words.len().saturating_sub(SHOWN);
    let shown = list(words.into_iter().take(SHOWN));
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn plural(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(count))
}

#[cfg(test)]
mod tests;
