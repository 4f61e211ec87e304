//! Limits the answers that may take long to make or to send, so that they never occupy all
//! connections.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Web;
use super::body::ResponseSlot;
use super::error::ApiError;
use super::peer::Peer;
use crate::export::WebRefusal;

/// Answers a request if a slot is free, and keeps the slot until the answer has been sent.
pub(super) async fn limit_answers(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(slot) = web.answers.try_enter(&peer) else {
        web.metrics.web_refused(WebRefusal::Busy);
        let message = "too many requests at once: try again";
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).into_response();
    };
    let mut response = next.run(request).await;
    ResponseSlot::keep(slot, &mut response);
    response
}
