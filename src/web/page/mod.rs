//! `/`: an HTML page that shows what is spent and what goes on. Rendered only here: the page's
//! script just inserts the sections that [`super::feed`] sends. No outside resources, and a content
//! security policy that would block them.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use jiff::{Timestamp, Unit};
use uuid::Uuid;

use super::budgets::BudgetsAnswer;
use super::error::ApiError;
use super::live::Snapshot;
use super::{Report, Web};
use crate::launch::ConnectionGuide;
use crate::ledger::{Cascade, Group, QuotaReading, Usage, UsageQuery, UsageReport};
use crate::record::{Cost, TokenKind};

mod budgets;
mod calls;
mod cascades;
mod chart;
mod empty;
mod lights;
mod quotas;
mod rules;
mod unread;

pub(super) async fn page(State(web): State<Arc<Web>>) -> Result<Response, ApiError> {
    let failed = |_| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the page could not be made",
        )
    };
    let mut html = String::new();
    for (id, section) in sections(&web).map_err(failed)? {
        write!(html, "<section id=\"{id}\">{section}</section>").map_err(failed)?;
    }
    // A new nonce for each answer: no text from the traffic can pass for one of our scripts.
    let nonce = Uuid::new_v4().simple().to_string();
    let html = TEMPLATE
        .replace("{{nonce}}", &nonce)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{sections}}", &html);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).map_err(|_| failed(fmt::Error))?;
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response())
}

/// The page's icon.
pub(super) async fn icon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON)
}

/// The parts of the page that change, each under the id of its element.
pub(super) fn sections(web: &Web) -> Result<Vec<(&'static str, String)>, fmt::Error> {
    let view = View::of(web)?;
    let parts: [(&'static str, Part); 11] = [
        ("status", status),
        ("cards", cards),
        ("budgets", budgets::bars),
        ("chart", chart::chart),
        ("models", models),
        ("cascades", |html, view| {
            cascades::table(html, &view.cascades, view.now)
        }),
        ("calls", calls::table),
        ("quotas", quotas::bars),
        ("rules", rules::list),
        ("lights", lights::lights),
        ("unread", unread::list),
    ];
    let render = |(id, part): (&'static str, Part)| {
        let mut html = String::new();
        part(&mut html, &view).map(|()| (id, html))
    };
    parts.into_iter().map(render).collect()
}

/// Writes one section.
type Part = fn(&mut String, &View) -> fmt::Result;

/// All data of one rendering, read at one time.
struct View {
    now: Timestamp,
    report: UsageReport,
    cascades: Vec<Cascade>,
    quotas: Vec<QuotaReading>,
    budgets: BudgetsAnswer,
    live: Snapshot,
    readiness: Report,
    guide: Option<ConnectionGuide>,
}

impl View {
    fn of(web: &Web) -> Result<Self, fmt::Error> {
        let now = Timestamp::now();
        Ok(Self {
            now,
            report: web
                .ledger
                .query(&UsageQuery::default(), now)
                .map_err(|_| fmt::Error)?,
            cascades: cascades::recent(&web.ledger),
            quotas: web.ledger.quotas(),
            budgets: BudgetsAnswer::of(web, now),
            live: web.live.snapshot(now),
            readiness: web.readiness.report(),
            guide: web.guide.get().cloned(),
        })
    }
}

fn status(html: &mut String, view: &View) -> fmt::Result {
    let since = second(view.report.since);
    let (class, word) = if view.readiness.ready {
        ("good", "ready")
    } else {
        ("bad", "not ready")
    };
    write!(html, "<span class=\"pill {class}\">{word}</span>")?;
    for (condition, holds) in &view.readiness.conditions {
        let (class, word) = if *holds {
            ("good", "")
        } else {
            ("bad", ": no")
        };
        write!(
            html,
            "<span class=\"dot {class}\">{}{word}</span>",
            format!("{condition:?}").to_lowercase()
        )?;
    }
    write!(
        html,
        "<span class=\"since\">since <time>{since}</time></span>"
    )
}

fn cards(html: &mut String, view: &View) -> fmt::Result {
    let totals = &view.report.totals;
    card(
        html,
        "Tokens",
        &grouped(totals.total_tokens),
        "all six kinds together",
    )?;
    card(html, "Calls", &grouped(totals.calls), &trust(totals))?;
    let input = totals.tokens.sum(TokenKind::INPUT);
    card(html, "Input", &grouped(input), &cached(totals))?;
    let output = totals.tokens.sum(TokenKind::OUTPUT);
    card(
        html,
        "Output",
        &grouped(output),
        &format!(
            "{} of it thinking",
            grouped(totals.tokens[TokenKind::Thinking])
        ),
    )?;
    card(html, "Cost", &cost(totals), &priced(totals))?;
    let running = view
        .cascades
        .iter()
        .filter(|cascade| cascade.running_since.is_some())
        .count();
    let runs = if running == 1 {
        "1 conversation runs".to_owned()
    } else {
        format!("{running} conversations run")
    };
    card(
        html,
        "In flight",
        &grouped(view.live.in_flight.values().sum()),
        &runs,
    )
}

fn card(html: &mut String, title: &str, figure: &str, note: &str) -> fmt::Result {
    write!(
        html,
        "<div class=\"card\"><h2>{title}</h2><b>{figure}</b><small>{note}</small></div>"
    )
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

fn cached(usage: &Usage) -> String {
    let input = u128::from(usage.tokens.sum(TokenKind::INPUT));
    let percent = u128::from(usage.tokens[TokenKind::CacheRead]) * 100 / input.max(1);
    format!("{percent} % read from cache")
}

/// In dollars; a lower bound where some calls have no price.
fn cost(usage: &Usage) -> String {
    let at_least = if usage.unpriced_calls > 0 { "≥ " } else { "" };
    usage.cost.map_or_else(
        || "–".to_owned(),
        |cost| format!("{at_least}{}", dollars(cost)),
    )
}

fn dollars(cost: Cost) -> String {
    format!("${:.4}", cost.usd())
}

fn priced(usage: &Usage) -> String {
    match usage.unpriced_calls {
        0 => "at list prices".to_owned(),
        some => format!("at list prices; {} calls without one", grouped(some)),
    }
}

fn models(html: &mut String, view: &View) -> fmt::Result {
    let report = &view.report;
    let mut rows: Vec<(&String, &Group)> = report.models.iter().flatten().collect();
    if rows.is_empty() {
        return empty::invitation(html, view.guide.as_ref());
    }
    rows.sort_by_key(|(_, group)| std::cmp::Reverse(group.usage.total_tokens));
    begin_table(html, "Models", &COLUMNS)?;
    for (name, group) in rows {
        row(html, name, group, report.totals.total_tokens)?;
    }
    html.write_str(END_TABLE)
}

fn row(html: &mut String, name: &str, group: &Group, all: u64) -> fmt::Result {
    let usage = &group.usage;
    let share = u128::from(usage.total_tokens) * 100 / u128::from(all.max(1));
    write!(
        html,
        "<tr><th scope=\"row\">{}<small>{}</small></th>",
        escaped(name),
        served_as(group)
    )?;
    let tokens = usage.tokens.by_public_name().map(|(_, tokens)| tokens);
    for figure in std::iter::once(usage.calls).chain(tokens) {
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

/// The provider of the model and its display name there.
fn served_as(group: &Group) -> String {
    match &group.display_name {
        Some(name) => format!("{} · {}", escaped(name.as_str()), group.provider),
        None => group.provider.to_string(),
    }
}

/// Digits in groups of three, separated by a narrow space.
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

fn second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

/// The time of day, which is what changes on an open page; the full time is in its tooltip.
fn clock(at: Timestamp) -> String {
    let at = second(at);
    format!(
        "<time datetime=\"{at}\" title=\"{at}\">{}</time>",
        at.strftime("%H:%M:%S")
    )
}

/// Begins a table, which can be scrolled by the keyboard where the page is narrow.
fn begin_table(html: &mut String, title: &str, columns: &[&str]) -> fmt::Result {
    write!(
        html,
        "<h2>{title}</h2><div class=\"scroll\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\"><table><thead><tr>"
    )?;
    columns
        .iter()
        .try_for_each(|column| write!(html, "<th scope=\"col\">{column}</th>"))?;
    html.write_str("</tr></thead><tbody>")
}

const END_TABLE: &str = "</tbody></table></div>";

/// A number of seconds, with as many digits as matter.
fn seconds(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.1} s")
    }
}

/// The cell of an unknown figure.
const NONE: &str = "<td class=\"zero\">–</td>";

const TEMPLATE: &str = include_str!("page.html");
const ICON: &str = include_str!("icon.svg");
const COLUMNS: [&str; 11] = [
    "Model",
    "Calls",
    "Input",
    "Cache read",
    "Cache write",
    "Tool input",
    "Output",
    "Thinking",
    "Total",
    "Cost",
    "Share",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_markup_is_not() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            escaped("<b a='1'>&\""),
            "&lt;b a=&#39;1&#39;&gt;&amp;&quot;"
        );
    }
}
