//! The page of a call: what it was for, how it ended, its tokens and cost, and who made it.

use std::fmt;

use super::{Page, facts, reported, text};
use crate::ledger::{CallDetails, CallRecord, Cascade};
use crate::record::{Quality, TokenKind};
use crate::web::page::calls::outcome;
use crate::web::page::cascades::{link, name};
use crate::web::page::html::{dollars, escaped, grouped, seconds};

/// `cascade` is the call's conversation, where it is kept.
pub(super) fn page(
    page: &Page<'_>,
    found: &CallDetails,
    cascade: Option<&Cascade>,
) -> Result<String, fmt::Error> {
    let mut html = String::new();
    let call = &found.call;
    let began = page.reader.short(call.started_at, page.now);
    let key = page.marks.get(&call.model).key();
    let title = format!("{key}{} · {began}", escaped(call.model.as_str()));
    page.begin(&mut html, "call", &title)?;
    let conversation = match (cascade, &found.cascade) {
        (Some(cascade), _) => {
            let name = name(page.reader, cascade, page.now);
            Some(link(page.reader, &cascade.id, &name))
        }
        (None, id) => text(id.as_ref()),
    };
    html.push_str("<h2>What it was</h2>");
    facts(
        &mut html,
        &[
            ("Id", text(Some(call.id))),
            ("Provider", text(Some(call.provider))),
            ("Operation", text(Some(call.operation))),
            ("Model", text(Some(&call.model))),
            ("Answered by", text(call.served_model.as_ref())),
            ("Outcome", Some(outcome(call.outcome))),
            ("HTTP status", text(call.status)),
            ("Began", Some(page.time(call.started_at))),
            (
                "First chunk after",
                reported(call.time_to_first_chunk_seconds.map(seconds)),
            ),
            ("Duration", Some(seconds(call.duration_seconds))),
        ],
    )?;
    html.push_str("<h2>Tokens and cost</h2>");
    facts(&mut html, &tokens(call))?;
    html.push_str("<h2>Who made it</h2>");
    facts(
        &mut html,
        &[
            ("Conversation", conversation),
            ("Known by", text(Some(call.method))),
            ("Session", text(call.caller.session.as_ref())),
            ("Program", text(call.caller.program.as_ref())),
            ("Repository", text(call.caller.repository.as_ref())),
            ("Branch", text(call.caller.branch.as_ref())),
            ("Subagent", text(call.subagent.as_ref())),
            ("Kind of subagent", text(call.subagent_kind.as_ref())),
            ("Started by subagent", text(call.parent_subagent.as_ref())),
            ("Trajectory", text(call.trajectory.as_ref())),
            ("Execution", text(call.execution.as_ref())),
            ("Step", text(call.step.as_ref())),
            ("Request", text(call.request.as_ref())),
        ],
    )?;
    Ok(html)
}

fn tokens(call: &CallRecord) -> Vec<(&'static str, Option<String>)> {
    let quality = match call.quality {
        Quality::Exact => "exact: the provider's final figures were seen",
        Quality::Partial => "partial: cut off, the figures are lower bounds",
        Quality::Unknown => "unknown: no figures were seen",
    };
    let is_known = call.quality != Quality::Unknown;
    let mut facts = vec![
        ("Quality", Some(quality.to_owned())),
        (
            "All tokens",
            reported(is_known.then(|| grouped(call.total_tokens))),
        ),
    ];
    let names = [
        ("Input", TokenKind::Input),
        ("Cache read", TokenKind::CacheRead),
        ("Cache write, under an hour", TokenKind::CacheWrite5m),
        ("Cache write, an hour or more", TokenKind::CacheWrite1h),
        ("Tool input", TokenKind::ToolInput),
        ("Output", TokenKind::Output),
        ("Thinking", TokenKind::Thinking),
    ];
    facts.extend(names.map(|(name, kind)| (name, reported(call.tokens[kind].map(grouped)))));
    let source = call.cost_source.map(|source| format!(" ({source})"));
    let cost = call.cost.map(dollars);
    let cost = cost.map(|cost| format!("{cost}{}", source.unwrap_or_default()));
    facts.push(("Cost", reported(cost)));
    facts
}
