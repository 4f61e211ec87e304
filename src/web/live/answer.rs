//! `/v1/live`: what goes on right now, as JSON for programs that show it, such as `gravimeter top`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use super::{LastCall, Snapshot, WINDOW_SECONDS};
use crate::record::{Model, Provider};
use crate::web::Web;
use crate::web::parameters::NoParameters;

pub(in crate::web) async fn live(State(web): State<Arc<Web>>, _: NoParameters) -> Json<LiveAnswer> {
    let at = Timestamp::now();
    let ready = web.readiness.report().ready;
    Json(LiveAnswer::new(web.live.snapshot(at), ready, at))
}

/// The answer of `/v1/live`.
#[derive(Debug, Serialize)]
pub(in crate::web) struct LiveAnswer {
    version: &'static str,
    /// When it was made.
    at: Timestamp,
    ready: bool,
    /// Calls under way, by provider.
    in_flight: BTreeMap<Provider, u64>,
    window_seconds: i64,
    output_tokens_per_second: Vec<Rate>,
    /// The newest first.
    calls: Vec<LastCall>,
}

/// How fast a model has generated in the window, the oldest figure first.
#[derive(Debug, Serialize)]
struct Rate {
    /// Absent for all models together that have no rates of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Model>,
    rates: Vec<f64>,
}

impl LiveAnswer {
    fn new(snapshot: Snapshot, ready: bool, at: Timestamp) -> Self {
        let rates = snapshot.rates.models.into_iter();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            at,
            ready,
            in_flight: snapshot
                .in_flight
                .into_iter()
                .filter(|(_, calls)| *calls > 0)
                .collect(),
            window_seconds: WINDOW_SECONDS,
            output_tokens_per_second: rates.map(|(model, rates)| Rate { model, rates }).collect(),
            calls: snapshot.calls,
        }
    }
}
