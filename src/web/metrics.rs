//! `/metrics`: the exposition in the format that the scraper asks for.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::spawn_blocking;

use super::Web;
use super::body::ResponseSlot;
use super::error::ApiError;
use super::peer::Peer;
use crate::export::Metrics;
use crate::export::formats::{Format, negotiate};

pub(super) async fn metrics(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Arc<Peer>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Some(slot) = web.scrapes.try_enter(&peer) else {
        web.metrics.scrape_rejected();
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many scrapes at once: try again",
        ));
    };
    let format = negotiate(joined(&headers, &header::ACCEPT).as_deref());
    let gzip = accepts_gzip(joined(&headers, &header::ACCEPT_ENCODING).as_deref());
    // Some 13 MB at the worst: a hundred milliseconds that the traffic's workers must not wait for.
    let views = Arc::clone(&web);
    let exposition = spawn_blocking(move || {
        let exposition = exposition(&views.metrics, format, gzip);
        // A count that was seen and is then lost with the process would look like a counter's
        // restart.
        views.ledger.settle(SETTLE_LIMIT);
        exposition
    })
    .await;
    let Ok(Ok(exposition)) = exposition else {
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the metrics could not be written",
        ));
    };
    let mut response = (
        [(header::CONTENT_TYPE, format.content_type()), VARY],
        exposition,
    )
        .into_response();
    // A slow scraper counts as a running scrape.
    ResponseSlot::keep(slot, &mut response);
    if gzip {
        response.headers_mut().insert(
            header::CONTENT_ENCODING,
            header::HeaderValue::from_static("gzip"),
        );
    }
    Ok(response)
}

fn exposition(metrics: &Metrics, format: Format, gzip: bool) -> io::Result<Bytes> {
    let plain = metrics.encode(format).map_err(io::Error::other)?;
    if !gzip {
        return Ok(plain.into());
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
    encoder.write_all(&plain)?;
    encoder.finish().map(Bytes::from)
}

/// A commit takes a few milliseconds. A scrape is worth more than what it might cost to wait for a
/// disk that is slower.
const SETTLE_LIMIT: Duration = Duration::from_millis(250);

/// A header's lines as the one list that they are (RFC 9110, section 5.3).
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Whether `Accept-Encoding` names gzip with a weight above 0.
fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding
        .unwrap_or_default()
        .split(',')
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused = |parameter: &str| {
                let weight = parameter
                    .split_once('=')
                    .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
                weight.is_some_and(|(_, q)| !q.trim().parse::<f32>().is_ok_and(|q| q > 0.0))
            };
            named && !parts.any(refused)
        })
}

const VARY: (HeaderName, &str) = (header::VARY, "accept, accept-encoding");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_named() {
        for yes in ["gzip", "deflate, GZIP;q=0.5", "br;q=1.0, gzip; Q=0.001"] {
            assert!(accepts_gzip(Some(yes)), "{yes}");
        }
        for no in [
            "",
            "identity",
            "*",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;q=x",
            "gzipped",
        ] {
            assert!(!accepts_gzip(Some(no)), "{no}");
        }
        assert!(!accepts_gzip(None));
    }
}
