//! Who may ask: requests whose `Host` is ours, from no foreign web page.
//!
//! A page in a browser on this machine can send requests here. DNS rebinding makes it send the page's own name as `Host`
//! (as in CVE-2018-14505), any other way its own `Origin`; both are refused, and no CORS header ever lets it read an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::Authority;
use tokio::time::timeout;

use super::error::ApiError;

/// The names under which the house may be asked, and how long an answer may take.
#[derive(Debug)]
pub(super) struct Doors {
    port: u16,
    allowed: Vec<String>,
    request_timeout: Duration,
}

impl Doors {
    pub(super) fn new(port: u16, allowed: &[String], request_timeout: Duration) -> Self {
        let allowed = allowed.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { port, allowed, request_timeout }
    }

    /// A loopback name with our port or none, or an allowed host; one that is allowed without a port is so on every port.
    fn knows(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        let Ok(parsed) = authority.parse::<Authority>() else { return false };
        let ours = parsed.as_str() == parsed.host() || parsed.port_u16() == Some(self.port);
        (LOOPBACK.contains(&parsed.host()) && ours)
            || self.allowed.iter().any(|allowed| *allowed == authority || allowed == parsed.host())
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let host = only(request.headers(), &header::HOST).filter(|host| self.knows(host));
        let target = request.uri().authority().is_none_or(|target| self.knows(target.as_str()));
        let (Some(host), true) = (host, target) else { return Err(forbidden("foreign_host", FOREIGN_HOST)) };
        if !request.headers().contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = only(request.headers(), &header::ORIGIN).and_then(|origin| origin.split_once("://"));
        match origin {
            Some(("http" | "https", origin)) if origin.eq_ignore_ascii_case(host) => Ok(()),
            _ => Err(forbidden("foreign_origin", "requests of other web pages are not answered")),
        }
    }
}

/// Lets a request through or refuses it, in time, and marks every answer as private.
pub(super) async fn guard(State(doors): State<Arc<Doors>>, request: Request, next: Next) -> Response {
    let mut response = match doors.check(&request) {
        Err(refused) => refused.into_response(),
        Ok(()) => timeout(doors.request_timeout, next.run(request)).await.unwrap_or_else(|_| late().into_response()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The value of a header that stands there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn forbidden(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, message)
}

fn late() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the answer took too long: try again")
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
const FOREIGN_HOST: &str = "this name is not answered to: use localhost, or add the name to allowed_hosts";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
