//! `/v1/quotas`: what is left of the quotas, as it was told last.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Web;
use super::parameters::NoParameters;
use crate::ledger::QuotaReading;

pub(super) async fn quotas(State(web): State<Arc<Web>>, _: NoParameters) -> Json<Quotas> {
    Json(Quotas {
        quotas: web.ledger.quotas(),
    })
}

#[derive(Serialize)]
pub(super) struct Quotas {
    quotas: Vec<QuotaReading>,
}
