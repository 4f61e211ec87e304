//! `/v1/calls/{id}`: one call as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tokio::task::spawn_blocking;

use super::Web;
use super::error::ApiError;
use super::parameters::NoParameters;
use crate::ledger::{CallDetails, CallId, InvalidCallId};

pub(super) async fn call(
    State(web): State<Arc<Web>>,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Result<Json<CallDetails>, ApiError> {
    let id = id.map_err(|_| InvalidCallId);
    let id = id.and_then(|Path(id)| id.parse());
    let id = id.map_err(|wrong: InvalidCallId| {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_id", wrong.to_string())
    })?;
    let found = find(&web, id).await?;
    found.map(Json).ok_or_else(|| {
        let message = "no call of that id is kept";
        ApiError::new(StatusCode::NOT_FOUND, "unknown_call", message)
    })
}

/// Finds a call without blocking the traffic's worker threads; `None` where no such call is kept.
pub(super) async fn find(web: &Arc<Web>, id: CallId) -> Result<Option<CallDetails>, ApiError> {
    let web = Arc::clone(web);
    let found = spawn_blocking(move || web.ledger.call(id)).await;
    found.ok().and_then(Result::ok).ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger_unavailable",
            "the ledger could not be asked: the log says why",
        )
    })
}
