//! What stands behind the `?` of a request where nothing may stand.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::error::ApiError;

/// The request has no parameters: one that is passed over in silence would look obeyed.
pub(super) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => {
                let message = "there are no parameters here";
                Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "unknown_parameter",
                    message,
                ))
            }
        }
    }
}
