//! `/v1/budgets`: how much of each budget is spent, and what has changed last.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use super::Web;
use super::parameters::NoParameters;
use crate::budget::{BudgetStatus, Notice};

pub(super) async fn budgets(State(web): State<Arc<Web>>, _: NoParameters) -> Json<BudgetsAnswer> {
    Json(BudgetsAnswer::of(&web, Timestamp::now()))
}

/// How all budgets stand.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct BudgetsAnswer {
    /// In the order of the configuration.
    pub(super) budgets: Vec<BudgetStatus>,
    /// What has changed last, the newest first.
    pub(super) changes: Vec<Notice>,
}

impl BudgetsAnswer {
    pub(super) fn of(web: &Web, now: Timestamp) -> Self {
        let answer = |budgets: &Arc<crate::budget::Budgets>| Self {
            budgets: budgets.statuses(now),
            changes: budgets.recent(),
        };
        web.budgets.get().map(answer).unwrap_or_default()
    }
}
