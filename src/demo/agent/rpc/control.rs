//! The demo's own endpoints on the HTTP port: the log to read, streams to switch off and on,
//! streams to cut.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::Server;
use super::body::ResponseBody;
use super::dispatch::{document, status};

/// Answers `GET /demo/log`, `POST /demo/streams` and `POST /demo/cut`.
pub(super) fn answer(server: &Server, head: &Parts, body: &Bytes) -> Response<ResponseBody> {
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/demo/log") => {
            // Strings and numbers only: serialisation has nothing to fail at.
            document(
                StatusCode::OK,
                &serde_json::to_value(server.store.log()).unwrap_or_default(),
                false,
            )
        }
        (&Method::POST, "/demo/streams") => match serde_json::from_slice(body) {
            Ok(offered_streams) => {
                server.set_offered_streams(offered_streams);
                status(StatusCode::NO_CONTENT)
            }
            Err(_) => status(StatusCode::BAD_REQUEST),
        },
        (&Method::POST, "/demo/cut") => {
            server.cut();
            status(StatusCode::NO_CONTENT)
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}
