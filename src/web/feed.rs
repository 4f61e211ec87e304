//! `/live`: the sections of the page as Server-Sent Events, each when it has changed.
//!
//! The first event of a connection has the program's version, so that a page that is older reloads
//! itself. Something comes every second: a page that gets nothing knows that the program is gone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Web;
use super::body::ResponseSlot;
use super::error::ApiError;
use super::page::{Reader, RecentDays, sections};
use super::peer::Peer;

pub(super) async fn feed(
    State(web): State<Arc<Web>>,
    Extension(Stopping(stopping)): Extension<Stopping>,
    Extension(peer): Extension<Arc<Peer>>,
    reader: Reader,
) -> Result<Response, ApiError> {
    let Some(slot) = web.pages.try_enter(&peer) else {
        let message = "as many pages are open as are served: close one";
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_pages",
            message,
        ));
    };
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        web,
        stopping,
        reader,
        recent: None,
        turns,
        sent: HashMap::new(),
        knows_version: false,
    };
    let mut response = Sse::new(stream::unfold(feed, Feed::next)).into_response();
    ResponseSlot::keep(slot, &mut response);
    Ok(response)
}

/// Ends every feed, which would otherwise delay the end of the program.
#[derive(Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// One open page.
struct Feed {
    web: Arc<Web>,
    stopping: CancellationToken,
    reader: Reader,
    /// What was read of the ledger's file last.
    recent: Option<RecentDays>,
    turns: Interval,
    /// The sections as the page has them.
    sent: HashMap<&'static str, String>,
    /// Whether the page has been sent the version.
    knows_version: bool,
}

#[derive(Serialize)]
struct ChangedSection {
    id: &'static str,
    html: String,
}

impl Feed {
    /// `None` at the end of the program.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if !std::mem::replace(&mut self.knows_version, true) {
            let hello = Event::default()
                .event("hello")
                .retry(RECONNECT)
                .data(env!("CARGO_PKG_VERSION"));
            return Some((Ok(hello), self));
        }
        let stopping = self.stopping.clone();
        stopping.run_until_cancelled(self.turns.tick()).await?;
        let changed = self.changed().await;
        let event = match serde_json::to_string(&changed) {
            Ok(json) if !changed.is_empty() => Event::default().event("sections").data(json),
            _ => Event::default().event("alive").data("nothing new"),
        };
        Some((Ok(event), self))
    }

    /// The sections that differ from what the page has.
    async fn changed(&mut self) -> Vec<ChangedSection> {
        let (web, reader, recent) = (
            Arc::clone(&self.web),
            self.reader.clone(),
            self.recent.take(),
        );
        // The ledger's file is read, which must not block the traffic's worker threads.
        let rendered = spawn_blocking(move || {
            let now = Timestamp::now();
            let recent = recent.filter(|recent| !recent.is_stale(&reader, now));
            let recent = recent.unwrap_or_else(|| RecentDays::read(&web.ledger, &reader, now));
            let sections = sections(&web, &reader, &recent, now).unwrap_or_default();
            (sections, recent)
        });
        let Ok((sections, recent)) = rendered.await else {
            return Vec::new();
        };
        self.recent = Some(recent);
        let mut changed = Vec::new();
        for (id, html) in sections {
            if self.sent.get(id) != Some(&html) {
                self.sent.insert(id, html.clone());
                changed.push(ChangedSection { id, html });
            }
        }
        changed
    }
}

/// How often the sections are compared: once a second, as a clock moves.
const TURN: Duration = Duration::from_secs(1);

/// How soon a page reconnects.
const RECONNECT: Duration = Duration::from_secs(1);

/// Most pages that are fed at the same time: each costs a rendering a second.
pub(super) const MAX_PAGES: usize = 16;
