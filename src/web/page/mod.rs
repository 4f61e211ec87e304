//! `/`: an HTML page that shows what is spent and what goes on, and a page for each conversation and
//! call. Rendered only here: the page's script just inserts the sections that [`super::feed`] sends.
//! No outside resources, and a content security policy that would block them.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::budgets::BudgetsAnswer;
use super::error::ApiError;
use super::live::Snapshot;
use super::{Report, Web};
use crate::launch::ConnectionGuide;
use crate::ledger::{Cascade, QuotaReading, UsageQuery, UsageReport};
use crate::record::Model;
use cascades::CascadeNames;
use marks::Marks;

mod budgets;
mod calls;
mod cards;
mod cascades;
mod chart;
mod details;
mod empty;
mod html;
mod lights;
mod marks;
mod models;
mod quotas;
mod reader;
mod recent;
mod rules;
mod status;
mod unread;

pub(super) use details::{call, conversation};
pub(super) use reader::Reader;
pub(super) use recent::RecentDays;

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    reader: Reader,
) -> Result<Response, ApiError> {
    // The ledger's file is read, which must not block the traffic's worker threads.
    let rendered = spawn_blocking(move || {
        let now = Timestamp::now();
        let recent = RecentDays::read(&web.ledger, &reader, now);
        arranged(&sections(&web, &reader, &recent, now)?)
    })
    .await;
    let main = rendered.map_err(|_| failed())?.map_err(|_| failed())?;
    respond(StatusCode::OK, TEMPLATE, &main)
}

fn failed() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the page could not be made",
    )
}

/// Fills a template. What came from the traffic is put in last, so that no text of it can pass for
/// a place of the template.
fn respond(status: StatusCode, template: &str, main: &str) -> Result<Response, ApiError> {
    // A new nonce for each answer: no text from the traffic can pass for one of our scripts.
    let nonce = Uuid::new_v4().simple().to_string();
    let html = template
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        .replace("{{nonce}}", &nonce)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{main}}", main);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).map_err(|_| failed())?;
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    Ok((status, headers, Html(html)).into_response())
}

/// The page's icon.
pub(super) async fn icon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON)
}

/// A part of the page that changes: the id of its element, and what is in it.
type Section = (&'static str, String);

/// The parts of the page that change. Blocks for as long as the ledger's memory is locked.
pub(super) fn sections(
    web: &Web,
    reader: &Reader,
    recent: &RecentDays,
    now: Timestamp,
) -> Result<Vec<Section>, fmt::Error> {
    let view = View::of(web, reader, recent, now)?;
    let render = |(id, part): &(&'static str, Part)| {
        let mut html = String::new();
        part(&mut html, &view).map(|()| (*id, html))
    };
    let parts = [WIDE, LEFT, RIGHT].concat();
    parts.iter().map(render).collect()
}

/// The sections in their columns. A column is a column where the window is wide, else they follow
/// one another.
fn arranged(sections: &[Section]) -> Result<String, fmt::Error> {
    let mut html = String::new();
    let mut rest = sections.iter();
    for (class, parts) in [("wide", WIDE), ("column", LEFT), ("column", RIGHT)] {
        write!(html, "<div class=\"{class}\">")?;
        for (id, section) in rest.by_ref().take(parts.len()) {
            write!(html, "<section id=\"{id}\">{section}</section>")?;
        }
        html.push_str("</div>");
    }
    Ok(html)
}

/// Writes one section.
type Part = fn(&mut String, &View<'_>) -> fmt::Result;

/// What stands above the columns.
const WIDE: &[(&str, Part)] = &[
    ("status", status::status),
    ("unread", unread::list),
    ("cards", cards::cards),
];

/// What is spent, by model.
const LEFT: &[(&str, Part)] = &[
    ("chart", chart::chart),
    ("models", models::table),
    ("quotas", quotas::bars),
];

/// What goes on.
const RIGHT: &[(&str, Part)] = &[
    ("budgets", budgets::bars),
    ("rules", rules::list),
    ("cascades", cascades::table),
    ("calls", calls::table),
];

/// All data of one rendering, read at one time.
struct View<'a> {
    now: Timestamp,
    reader: &'a Reader,
    report: UsageReport,
    recent: &'a RecentDays,
    cascades: Vec<Cascade>,
    /// Of each of the last calls whose conversation is kept, in the order of the calls.
    cascades_of_calls: Vec<Option<Cascade>>,
    quotas: Vec<QuotaReading>,
    budgets: BudgetsAnswer,
    live: Snapshot,
    readiness: Report,
    guide: Option<ConnectionGuide>,
    marks: Marks,
    names: CascadeNames,
}

impl<'a> View<'a> {
    fn of(
        web: &Web,
        reader: &'a Reader,
        recent: &'a RecentDays,
        now: Timestamp,
    ) -> Result<Self, fmt::Error> {
        let report = web
            .ledger
            .query(&UsageQuery::default(), now)
            .map_err(|_| fmt::Error)?;
        let live = web.live.snapshot(now);
        let cascade_of = |call: &super::live::LastCall| {
            let id = call.cascade.as_ref()?;
            web.ledger.cascade_in_short(id)
        };
        let shown = live.calls.iter().take(calls::SHOWN);
        let cascades_of_calls: Vec<_> = shown.map(cascade_of).collect();
        let cascades = cascades::recent(&web.ledger);
        let all = cascades.iter().chain(cascades_of_calls.iter().flatten());
        Ok(Self {
            now,
            reader,
            recent,
            names: CascadeNames::of(reader, all, now),
            cascades,
            cascades_of_calls,
            quotas: web.ledger.quotas(),
            budgets: BudgetsAnswer::of(web, now),
            live,
            readiness: web.readiness.report(),
            guide: web.guide.get().cloned(),
            marks: marks_of(&report),
            report,
        })
    }
}

/// The marks of all models that were ever seen: they are the same on every page.
fn marks_of(report: &UsageReport) -> Marks {
    let names = report.models.iter().flatten();
    let models: Vec<_> = names.map(|(name, _)| Model::from_wire(name)).collect();
    Marks::of(models.iter())
}

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");
