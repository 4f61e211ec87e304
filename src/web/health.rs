//! `/healthz`: the process is alive. `/readyz`: the agent's traffic can pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;

use super::Web;

/// What must hold before the agent's traffic can pass and be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// The supervised agent runs.
    Agent,
    /// The interception listens.
    Listening,
    /// The redirect rules are in place.
    Redirect,
}

/// One flag for each condition that applies; all start unset.
#[derive(Debug)]
pub struct Readiness(BTreeMap<Condition, AtomicBool>);

impl Readiness {
    /// Flags for the conditions that apply: without a redirect none is waited for.
    #[must_use]
    pub fn new(conditions: impl IntoIterator<Item = Condition>) -> Arc<Self> {
        Arc::new(Self(
            conditions
                .into_iter()
                .map(|condition| (condition, AtomicBool::new(false)))
                .collect(),
        ))
    }

    /// Sets whether a condition holds; one that does not apply is ignored.
    pub fn set(&self, condition: Condition, holds: bool) {
        if let Some(latch) = self.0.get(&condition) {
            latch.store(holds, Ordering::Release);
        }
    }

    /// The current state of all conditions.
    #[must_use]
    pub fn report(&self) -> Report {
        let conditions: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(condition, latch)| (*condition, latch.load(Ordering::Acquire)))
            .collect();
        Report {
            ready: conditions.values().all(|holds| *holds),
            conditions,
        }
    }
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every condition holds.
    pub ready: bool,
    /// Each condition that applies, and whether it holds.
    pub conditions: BTreeMap<Condition, bool>,
}

pub(super) async fn healthz() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

pub(super) async fn readyz(State(web): State<Arc<Web>>) -> impl IntoResponse {
    let report = web.readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}
