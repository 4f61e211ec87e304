//! A page for each conversation and each call. Such a page is of the time at which it was asked for.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;

use super::html::{UNKNOWN, escaped};
use super::marks::Marks;
use super::{Reader, failed, marks_of, respond};
use crate::record::Id;
use crate::web::cascades::path_of;
use crate::web::error::ApiError;
use crate::web::{Web, calls};

mod calls_table;
mod one_call;
mod one_conversation;

pub(in crate::web) async fn conversation(
    State(web): State<Arc<Web>>,
    id: Result<Path<String>, PathRejection>,
    reader: Reader,
) -> Result<Response, ApiError> {
    let id = id.ok().and_then(|Path(id)| Id::from_wire(&id));
    let Some(found) = id.as_ref().and_then(|id| web.ledger.cascade(id)) else {
        return missing(&reader, "No conversation of that id is kept.");
    };
    let page = Page {
        reader: &reader,
        now: Timestamp::now(),
        json: path_of(&found.cascade.id),
        marks: marks_of(&web.ledger.report()),
    };
    let main = one_conversation::page(&page, &found).map_err(|_| failed())?;
    respond(StatusCode::OK, TEMPLATE, &main)
}

pub(in crate::web) async fn call(
    State(web): State<Arc<Web>>,
    id: Result<Path<String>, PathRejection>,
    reader: Reader,
) -> Result<Response, ApiError> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    let found = match id {
        Some(id) => calls::find(&web, id).await?,
        None => None,
    };
    let Some(found) = found else {
        return missing(&reader, "No call of that id is kept.");
    };
    let cascade = found.cascade.as_ref();
    let cascade = cascade.and_then(|id| web.ledger.cascade_in_short(id));
    let page = Page {
        reader: &reader,
        now: Timestamp::now(),
        json: format!("/v1/calls/{}", found.call.id),
        marks: marks_of(&web.ledger.report()),
    };
    let main = one_call::page(&page, &found, cascade.as_ref()).map_err(|_| failed())?;
    respond(StatusCode::OK, TEMPLATE, &main)
}

/// What every such page has.
struct Page<'a> {
    reader: &'a Reader,
    now: Timestamp,
    /// The path of the same as JSON.
    json: String,
    marks: Marks,
}

impl Page<'_> {
    /// Writes the top of the page; `title` is markup.
    fn begin(&self, html: &mut String, kind: &str, title: &str) -> fmt::Result {
        write!(
            html,
            "<nav aria-label=\"Where this page is\"><a href=\"{}\">All</a> / {kind}</nav>\
             <h2 class=\"title\">{title}</h2><p class=\"since\">as of {} · <a href=\"{}\">the same as JSON</a></p>",
            self.reader.link("/"),
            self.reader.full(self.now),
            self.json
        )
    }

    fn time(&self, at: Timestamp) -> String {
        self.reader.element(at, &self.reader.full(at))
    }
}

/// A page that says what there is not.
fn missing(reader: &Reader, message: &str) -> Result<Response, ApiError> {
    let main = format!(
        "<p class=\"empty\">{message} <a href=\"{}\">See what is kept.</a></p>",
        reader.link("/")
    );
    respond(StatusCode::NOT_FOUND, TEMPLATE, &main)
}

/// Writes names and values; `value` is markup, and one that is not known is left out.
fn facts(html: &mut String, facts: &[(&str, Option<String>)]) -> fmt::Result {
    html.push_str("<dl class=\"facts\">");
    for (name, value) in facts {
        if let Some(value) = value {
            write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
        }
    }
    html.write_str("</dl>")
}

/// Text from the traffic as markup.
fn text(value: Option<impl fmt::Display>) -> Option<String> {
    value.map(|value| escaped(&value.to_string()))
}

/// A figure that may not have been reported.
fn reported(figure: Option<String>) -> Option<String> {
    Some(figure.unwrap_or_else(|| UNKNOWN.to_owned()))
}

const TEMPLATE: &str = include_str!("details.html");
