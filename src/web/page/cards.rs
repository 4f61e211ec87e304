//! What was spent in all, today and in the last days.

use std::fmt::{self, Write as _};

use super::View;
use super::html::{UNKNOWN, cost, counted, escaped, grouped, percent};
use crate::ledger::Usage;
use crate::record::TokenKind;

/// The figure of a card, of the calls of one span of time.
type Figure = fn(&Usage) -> String;

pub(super) fn cards(html: &mut String, view: &View<'_>) -> fmt::Result {
    let cards: [(&str, Figure, Figure); 5] = [
        (
            "Tokens",
            |usage| grouped(usage.total_tokens),
            |_| "all kinds together".to_owned(),
        ),
        ("Calls", |usage| grouped(usage.calls), quality),
        (
            "Input",
            |usage| grouped(usage.tokens.sum(TokenKind::INPUT)),
            cached,
        ),
        (
            "Output",
            |usage| grouped(usage.tokens.sum(TokenKind::OUTPUT)),
            thinking,
        ),
        ("Cost", cost, priced),
    ];
    for (title, figure, note) in cards {
        let totals = &view.report.totals;
        begin(
            html,
            title,
            &figure(totals),
            &format!("in all, {}", note(totals)),
        )?;
        spans(html, view, figure)?;
        html.push_str("</div>");
    }
    in_flight(html, view)
}

fn begin(html: &mut String, title: &str, figure: &str, note: &str) -> fmt::Result {
    write!(
        html,
        "<div class=\"card\"><h2>{title}</h2><b>{figure}</b><small>{note}</small>"
    )
}

/// The same figure of the last days.
fn spans(html: &mut String, view: &View<'_>, figure: Figure) -> fmt::Result {
    html.push_str("<dl>");
    for span in &view.recent.spans {
        let usage = span.usage(&view.report.totals);
        let shown = usage.as_ref().map_or(UNKNOWN.to_owned(), figure);
        write!(
            html,
            "<div title=\"since {}\"><dt>{}</dt><dd>{shown}</dd></div>",
            view.reader.minute(span.since),
            span.name
        )?;
    }
    html.write_str("</dl>")
}

/// What goes on now, by provider.
fn in_flight(html: &mut String, view: &View<'_>) -> fmt::Result {
    let running = view
        .cascades
        .iter()
        .filter(|cascade| cascade.running_since.is_some())
        .count();
    let running = u64::try_from(running).unwrap_or(u64::MAX);
    let note = counted(running, "conversation runs", "conversations run");
    let open = &view.live.in_flight;
    begin(html, "In flight", &grouped(open.values().sum()), &note)?;
    html.push_str("<dl>");
    for (provider, calls) in open.iter().filter(|(_, calls)| **calls > 0) {
        let provider = escaped(&provider.to_string());
        write!(
            html,
            "<div><dt>{provider}</dt><dd>{}</dd></div>",
            grouped(*calls)
        )?;
    }
    html.write_str("</dl></div>")
}

fn quality(usage: &Usage) -> String {
    let quality = usage.usage_quality;
    format!(
        "{} exact, {} partial, {} unknown",
        grouped(quality.exact),
        grouped(quality.partial),
        grouped(quality.unknown)
    )
}

fn cached(usage: &Usage) -> String {
    let input = usage.tokens.sum(TokenKind::INPUT);
    let read = usage.tokens[TokenKind::CacheRead];
    format!("{} of it from the cache", percent(read, input))
}

fn thinking(usage: &Usage) -> String {
    format!(
        "{} of it thinking",
        grouped(usage.tokens[TokenKind::Thinking])
    )
}

fn priced(usage: &Usage) -> String {
    match usage.unpriced_calls {
        0 => "at list prices".to_owned(),
        1 => "at list prices; 1 call without one".to_owned(),
        some => format!("at list prices; {} calls without one", grouped(some)),
    }
}
