//! `/v1/sessions` and `/v1/sessions/{id}`: the ledger's sessions as JSON or CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::task::spawn_blocking;

use super::Web;
use super::error::ApiError;
use super::negotiate::Form;
use super::parameters::NoParameters;
use crate::ledger::{Ledger, QueryError, SessionDetails, SessionsQuery};
use crate::record::SessionId;

pub(super) async fn sessions(
    State(web): State<Arc<Web>>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = sessions_query(&parameters).map_err(WrongSessionsQuery::into_error)?;
    let page = ask(&web, move |ledger| ledger.sessions(&query)).await?;
    match Form::of(&headers) {
        Form::Csv => {
            let body = page.to_csv().map_err(|_| unavailable())?;
            Ok(([(header::CONTENT_TYPE, Form::Csv.content_type())], body).into_response())
        }
        Form::Json => Ok(Json(page).into_response()),
    }
}

pub(super) async fn session(
    State(web): State<Arc<Web>>,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Result<Json<SessionDetails>, ApiError> {
    let id = id.ok().and_then(|Path(id)| SessionId::parse(&id));
    let id = id.ok_or_else(|| WrongSessionsQuery::Id.into_error())?;
    let found = ask(&web, move |ledger| ledger.session(&id)).await?;
    found
        .map(Json)
        .ok_or_else(|| WrongSessionsQuery::NotKept.into_error())
}

/// Asks the ledger, which reads its file, without blocking the traffic's worker threads.
async fn ask<T: Send + 'static>(
    web: &Arc<Web>,
    question: impl FnOnce(&Ledger) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, ApiError> {
    let ledger = Arc::clone(&web.ledger);
    match spawn_blocking(move || question(&ledger)).await {
        Ok(answer) => answer.map_err(|_| unavailable()),
        Err(_) => Err(unavailable()),
    }
}

fn unavailable() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "ledger_unavailable",
        "the ledger could not be asked: the log says why",
    )
}

/// What is wrong with the request. The message says what is allowed, and repeats nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongSessionsQuery {
    #[error("'cursor' must be 'next' of an earlier answer")]
    Cursor,
    #[error(
        "an id is at most {} letters, digits, '-' and '_'",
        SessionId::MAX_BYTES
    )]
    Id,
    #[error("'limit' must be a number from 1 to {MAX_LIMIT}")]
    Limit,
    #[error("no session of that id is kept")]
    NotKept,
    #[error("a parameter stands there twice")]
    Twice,
    #[error("the parameters are 'cursor' and 'limit'")]
    Unknown,
}

impl WrongSessionsQuery {
    fn into_error(self) -> ApiError {
        let code = match self {
            Self::Cursor => "invalid_cursor",
            Self::Id => "invalid_id",
            Self::Limit => "invalid_limit",
            Self::NotKept => "unknown_session",
            Self::Twice => "repeated_parameter",
            Self::Unknown => "unknown_parameter",
        };
        let status = if self == Self::NotKept {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::BAD_REQUEST
        };
        ApiError::new(status, code, self.to_string())
    }
}

/// Reads the parameters of `/v1/sessions`, as pairs of name and value.
///
/// # Errors
/// [`WrongSessionsQuery`] for the first thing that is wrong.
pub(crate) fn sessions_query(
    parameters: &[(String, String)],
) -> Result<SessionsQuery, WrongSessionsQuery> {
    let (mut cursor, mut limit) = (None, None);
    for (name, value) in parameters {
        let is_repeated = match name.as_str() {
            "cursor" => {
                let read = value.parse().map_err(|_| WrongSessionsQuery::Cursor)?;
                cursor.replace(read).is_some()
            }
            "limit" => {
                let read = value.parse().ok();
                let read = read.filter(|limit| (1..=MAX_LIMIT).contains(limit));
                limit
                    .replace(read.ok_or(WrongSessionsQuery::Limit)?)
                    .is_some()
            }
            _ => return Err(WrongSessionsQuery::Unknown),
        };
        if is_repeated {
            return Err(WrongSessionsQuery::Twice);
        }
    }
    Ok(SessionsQuery {
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        cursor,
    })
}

/// Some 60 kB of JSON.
const DEFAULT_LIMIT: usize = 100;

/// As many as are summed up in one query of the file.
const MAX_LIMIT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_its_mistake_named() {
        let read = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            sessions_query(&owned)
        };
        let query = read(&[]).expect("a query");
        assert_eq!((query.limit, query.cursor), (100, None));
        let query = read(&[("limit", "1000"), ("cursor", "12.3")]).expect("a query");
        assert_eq!((query.limit, query.cursor), (1000, "12.3".parse().ok()));
        for (pairs, wrong) in [
            (vec![("limit", "0")], WrongSessionsQuery::Limit),
            (vec![("limit", "1001")], WrongSessionsQuery::Limit),
            (vec![("cursor", "first")], WrongSessionsQuery::Cursor),
            (
                vec![("limit", "1"), ("limit", "1")],
                WrongSessionsQuery::Twice,
            ),
            (vec![("by", "model")], WrongSessionsQuery::Unknown),
        ] {
            assert_eq!(read(&pairs), Err(wrong), "{pairs:?}");
        }
    }
}
