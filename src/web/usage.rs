//! `/v1/usage`: the ledger's answer as JSON or CSV, with an entity tag by which a repeated request
//! learns that nothing has changed.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::spawn_blocking;

use super::Web;
use super::error::ApiError;
use super::negotiate::{Form, is_known};
use super::usage_query::{Asked, WrongUsageQuery, parse};
use crate::ledger::{Ledger, UsageReport};

pub(super) async fn usage(
    State(web): State<Arc<Web>>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let asked = parse(&parameters, now).map_err(WrongUsageQuery::into_error)?;
    let form = Form::of(&headers);
    // A year by day takes a tenth of a second, which must not block the traffic's worker threads.
    let answer = spawn_blocking(move || UsageAnswer::make(&web.ledger, &asked, form, now)).await;
    let failed = |message: String| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger_unavailable",
            message,
        )
    };
    match answer {
        Ok(answer) => Ok(answer
            .map_err(failed)?
            .into_response(form, &headers, &parameters)),
        Err(_) => Err(failed("the ledger could not be asked".to_owned())),
    }
}

/// A rendered answer.
struct UsageAnswer {
    body: Vec<u8>,
    tag: String,
    next: Option<String>,
}

impl UsageAnswer {
    fn make(ledger: &Ledger, asked: &Asked, form: Form, now: Timestamp) -> Result<Self, String> {
        let report = ledger
            .query(&asked.query, now)
            .map_err(|failure| failure.to_string())?;
        let next = report.next_cursor.as_ref().map(ToString::to_string);
        write(report, asked, form)
            .map(|(body, tag)| Self { body, tag, next })
            .map_err(|failure| failure.to_string())
    }

    /// The response: 304 Not Modified with an empty body if the client has it already.
    fn into_response(
        self,
        form: Form,
        headers: &HeaderMap,
        parameters: &[(String, String)],
    ) -> Response {
        let mut response = if is_known(headers, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            (
                [(header::CONTENT_TYPE, form.content_type())],
                Bytes::from(self.body),
            )
                .into_response()
        };
        let next = self
            .next
            .map(|cursor| format!("<{}>; rel=\"next\"", path_of_next(parameters, &cursor)));
        let about = response.headers_mut();
        about.extend([(header::CACHE_CONTROL, PRIVATE), (header::VARY, VARY)]);
        for (name, text) in [(header::ETAG, Some(self.tag)), (header::LINK, next)] {
            about.extend(
                text.and_then(|text| HeaderValue::from_str(&text).ok())
                    .map(|text| (name, text)),
            );
        }
        response
    }
}

/// The body and its tag, which is strong if the same figures give the same bytes. Of a span that
/// moves with the clock, the tag is weak and leaves the time out, as it would otherwise differ each
/// time although nothing else is new.
fn write(mut report: UsageReport, asked: &Asked, form: Form) -> io::Result<(Vec<u8>, String)> {
    if form == Form::Csv {
        let body = report.to_csv(asked.query.by)?;
        let tag = strong(&body);
        return Ok((body, tag));
    }
    let body = serde_json::to_vec(&report)?;
    if !asked.since_moves && !asked.until_moves {
        let tag = strong(&body);
        return Ok((body, tag));
    }
    for (moves, at) in [
        (asked.since_moves, &mut report.since),
        (asked.until_moves, &mut report.until),
    ] {
        *at = if moves { Timestamp::UNIX_EPOCH } else { *at };
    }
    Ok((body, format!("W/{}", strong(&serde_json::to_vec(&report)?))))
}

fn strong(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    let half = hash.as_ref().get(..TAG_BYTES).unwrap_or_default();
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(half))
}

/// The path of the next page.
fn path_of_next(parameters: &[(String, String)], cursor: &str) -> String {
    let others = parameters.iter().filter(|(name, _)| name != "cursor");
    let pairs = others
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("cursor", cursor)]);
    let pair = |(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    format!(
        "/v1/usage?{}",
        pairs.map(pair).collect::<Vec<_>>().join("&")
    )
}

/// Only the client itself may cache it, and must revalidate it.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const VARY: HeaderValue = HeaderValue::from_static("accept");

/// 128 bits of the hash, so that different answers have different tags.
const TAG_BYTES: usize = 16;
