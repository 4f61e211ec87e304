//! `/v1/cascades` and `/v1/cascades/{id}`: the ledger's conversations as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;

use super::Web;
use super::error::ApiError;
use super::parameters::NoParameters;
use crate::ledger::{CascadeDetails, CascadePage, CascadesQuery, State as CascadeState};
use crate::record::Id;

pub(super) async fn cascades(
    State(web): State<Arc<Web>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<CascadePage>, ApiError> {
    let query = parse(&parameters).map_err(Wrong::into_error)?;
    Ok(Json(web.ledger.cascades(&query)))
}

pub(super) async fn cascade(
    State(web): State<Arc<Web>>,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Result<Json<CascadeDetails>, ApiError> {
    let id = id
        .ok()
        .and_then(|Path(id)| Id::from_wire(&id))
        .ok_or(Wrong::Id)
        .map_err(Wrong::into_error)?;
    web.ledger
        .cascade(&id)
        .map(Json)
        .ok_or_else(|| Wrong::NotKept.into_error())
}

/// The URL path of a conversation: its id comes from the traffic and may hold any printable
/// character.
#[must_use]
pub(crate) fn path_of(id: &Id) -> String {
    format!("/v1/cascades/{}", encoded(id))
}

/// An id as a segment of a URL path.
pub(super) fn encoded(id: &Id) -> String {
    let mut segment = String::new();
    for byte in id.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                segment.push(char::from(byte))
            }
            // A dot too: a segment of dots alone would change the path.
            byte => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// What is wrong with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Wrong {
    #[error("'cursor' must be 'next' of an earlier answer")]
    Cursor,
    #[error("an id is at most {} printable ASCII characters", Id::MAX_BYTES)]
    Id,
    #[error("'limit' must be a number from 1 to {MAX_LIMIT}")]
    Limit,
    #[error("no conversation of that id is kept")]
    NotKept,
    #[error("'state' must be 'idle' or 'running'")]
    State,
    #[error("a parameter stands there twice")]
    Twice,
    #[error("the parameters are 'cursor', 'limit' and 'state'")]
    Unknown,
}

impl Wrong {
    fn into_error(self) -> ApiError {
        let code = match self {
            Self::Cursor => "invalid_cursor",
            Self::Id => "invalid_id",
            Self::Limit => "invalid_limit",
            Self::NotKept => "unknown_cascade",
            Self::State => "invalid_state",
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

fn parse(parameters: &[(String, String)]) -> Result<CascadesQuery, Wrong> {
    let (mut cursor, mut limit, mut state) = (None, None, None);
    for (name, value) in parameters {
        let repeated = match name.as_str() {
            "cursor" => cursor
                .replace(value.parse().map_err(|_| Wrong::Cursor)?)
                .is_some(),
            "limit" => limit.replace(number(value).ok_or(Wrong::Limit)?).is_some(),
            "state" => state
                .replace(state_of(value).ok_or(Wrong::State)?)
                .is_some(),
            _ => return Err(Wrong::Unknown),
        };
        if repeated {
            return Err(Wrong::Twice);
        }
    }
    Ok(CascadesQuery {
        state,
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        cursor,
    })
}

fn number(value: &str) -> Option<usize> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
}

fn state_of(value: &str) -> Option<CascadeState> {
    match value {
        "idle" => Some(CascadeState::Idle),
        "running" => Some(CascadeState::Running),
        _ => None,
    }
}

/// Some 80 kB of JSON.
const DEFAULT_LIMIT: usize = 100;

/// As many as the ledger keeps.
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
            parse(&owned)
        };
        assert_eq!(
            read(&[]),
            Ok(CascadesQuery {
                state: None,
                limit: 100,
                cursor: None
            })
        );
        let query = read(&[("state", "running"), ("limit", "1000"), ("cursor", "12.3")]);
        let cursor = "12.3".parse().ok();
        assert_eq!(
            query,
            Ok(CascadesQuery {
                state: Some(CascadeState::Running),
                limit: 1000,
                cursor
            })
        );
        for (pairs, wrong) in [
            (vec![("state", "Idle")], Wrong::State),
            (vec![("limit", "0")], Wrong::Limit),
            (vec![("limit", "1001")], Wrong::Limit),
            (vec![("limit", "-1")], Wrong::Limit),
            (vec![("cursor", "first")], Wrong::Cursor),
            (vec![("limit", "1"), ("limit", "1")], Wrong::Twice),
            (vec![("by", "model")], Wrong::Unknown),
        ] {
            assert_eq!(read(&pairs), Err(wrong), "{pairs:?}");
        }
    }

    #[test]
    fn an_id_of_any_kind_has_a_path() {
        let path = |text| path_of(&Id::from_wire(text).expect("an id"));
        assert_eq!(path("179c837c-8253"), "/v1/cascades/179c837c-8253");
        assert_eq!(
            path("a/../b?c#d%e"),
            "/v1/cascades/a%2F%2E%2E%2Fb%3Fc%23d%25e"
        );
    }
}
