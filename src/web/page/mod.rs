//! `/`: what was spent, for people. Rendered here and nowhere else: the page's script only fetches it again and swaps in
//! the new figures. No outside resource, and a policy that would not load one.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use jiff::{Timestamp, Unit};
use uuid::Uuid;

use super::error::ApiError;
use super::{Report, Web};
use crate::ledger::{Cascade, Group, Usage, UsageQuery, UsageReport};

mod cascades;

pub(super) async fn page(State(web): State<Arc<Web>>) -> Result<Response, ApiError> {
    let failed = |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the page could not be made");
    let report = web.ledger.query(&UsageQuery::default(), Timestamp::now()).map_err(|_| failed(fmt::Error))?;
    let figures = figures(&report, &cascades::recent(&web.ledger), &web.readiness.report()).map_err(failed)?;
    // Fresh for each answer: nothing that came from the traffic can name itself a script of ours.
    let nonce = Uuid::new_v4().simple().to_string();
    let html = TEMPLATE
        .replace("{{nonce}}", &nonce)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{figures}}", &figures);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).map_err(|_| failed(fmt::Error))?;
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response())
}

/// The part of the page that changes.
fn figures(report: &UsageReport, recent: &[Cascade], readiness: &Report) -> Result<String, fmt::Error> {
    let mut html = String::new();
    status(&mut html, report, readiness)?;
    let totals = &report.totals;
    html.push_str("<section class=\"cards\">");
    card(&mut html, "Tokens", &grouped(totals.total_tokens), "all six kinds together")?;
    card(&mut html, "Calls", &grouped(totals.calls), &trust(totals))?;
    let input = totals.input_tokens.saturating_add(totals.tool_input_tokens).saturating_add(totals.cache_write_tokens);
    card(&mut html, "Input", &grouped(input.saturating_add(totals.cache_read_tokens)), &cached(totals, input))?;
    let output = totals.output_tokens.saturating_add(totals.thinking_tokens);
    card(&mut html, "Output", &grouped(output), &format!("{} of it thinking", grouped(totals.thinking_tokens)))?;
    card(&mut html, "Cost", &cost(totals), &priced(totals))?;
    html.push_str("</section>");
    table(&mut html, report)?;
    cascades::table(&mut html, recent)?;
    Ok(html)
}

fn status(html: &mut String, report: &UsageReport, readiness: &Report) -> fmt::Result {
    let since = report.since.round(Unit::Second).unwrap_or(report.since);
    let (class, word) = if readiness.ready { ("good", "ready") } else { ("bad", "not ready") };
    write!(html, "<p class=\"status\"><span class=\"pill {class}\">{word}</span>")?;
    for (condition, holds) in &readiness.conditions {
        let class = if *holds { "good" } else { "bad" };
        write!(html, "<span class=\"dot {class}\">{}</span>", format!("{condition:?}").to_lowercase())?;
    }
    write!(html, "<span class=\"since\">since <time>{since}</time></span></p>")
}

fn card(html: &mut String, title: &str, figure: &str, note: &str) -> fmt::Result {
    write!(html, "<div class=\"card\"><h2>{title}</h2><b>{figure}</b><small>{note}</small></div>")
}

fn trust(usage: &Usage) -> String {
    let quality = usage.usage_quality;
    format!(
        "{} exact, {} partial, {} unknown",
        grouped(quality.exact),
        grouped(quality.partial),
        grouped(quality.unknown)
    )
}

fn cached(usage: &Usage, uncached: u64) -> String {
    let all = u128::from(uncached) + u128::from(usage.cache_read_tokens);
    let percent = u128::from(usage.cache_read_tokens) * 100 / all.max(1);
    format!("{percent} % read from cache")
}

/// In dollars; a lower bound where some calls have no price.
fn cost(usage: &Usage) -> String {
    let at_least = if usage.unpriced_calls > 0 { "≥ " } else { "" };
    usage.cost.map_or_else(|| "–".to_owned(), |cost| format!("{at_least}${:.4}", cost.usd()))
}

fn priced(usage: &Usage) -> String {
    match usage.unpriced_calls {
        0 => "at list prices".to_owned(),
        some => format!("at list prices; {} calls without one", grouped(some)),
    }
}

fn table(html: &mut String, report: &UsageReport) -> fmt::Result {
    let mut rows: Vec<(&String, &Group)> = report.models.iter().flatten().collect();
    if rows.is_empty() {
        html.push_str("<p class=\"empty\">No call has been seen yet. This page fills itself as soon as one ends.</p>");
        return Ok(());
    }
    rows.sort_by_key(|(_, group)| std::cmp::Reverse(group.usage.total_tokens));
    html.push_str(TABLE_HEAD);
    for (name, group) in rows {
        row(html, name, group, report.totals.total_tokens)?;
    }
    html.push_str("</tbody></table></div>");
    Ok(())
}

fn row(html: &mut String, name: &str, group: &Group, all: u64) -> fmt::Result {
    let usage = &group.usage;
    let share = u128::from(usage.total_tokens) * 100 / u128::from(all.max(1));
    write!(html, "<tr><th scope=\"row\">{}<small>{}</small></th>", escaped(name), served_as(group))?;
    for figure in [
        usage.calls,
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.tool_input_tokens,
        usage.output_tokens,
        usage.thinking_tokens,
    ] {
        let class = if figure == 0 { " class=\"zero\"" } else { "" };
        write!(html, "<td{class}>{}</td>", grouped(figure))?;
    }
    write!(
        html,
        "<td class=\"total\">{}</td><td>{}</td><td><meter max=\"100\" value=\"{share}\">{share} %</meter></td></tr>",
        grouped(usage.total_tokens),
        cost(usage)
    )
}

/// Who serves the model, and what people call it there.
fn served_as(group: &Group) -> String {
    match &group.display_name {
        Some(name) => format!("{} · {}", escaped(name.as_str()), group.provider),
        None => group.provider.to_string(),
    }
}

/// Digits in groups of three, parted by a narrow space.
fn grouped(figure: u64) -> String {
    let digits = figure.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Text that cannot become markup: models are named by the traffic.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const TEMPLATE: &str = include_str!("page.html");
const TABLE_HEAD: &str = "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Model</th><th scope=\"col\">Calls</th>\
    <th scope=\"col\">Input</th><th scope=\"col\">Cache read</th><th scope=\"col\">Cache write</th>\
    <th scope=\"col\">Tool input</th><th scope=\"col\">Output</th><th scope=\"col\">Thinking</th>\
    <th scope=\"col\">Total</th><th scope=\"col\">Cost</th><th scope=\"col\">Share</th></tr></thead><tbody>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_markup_is_not() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(escaped("<b a='1'>&\""), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
    }
}
