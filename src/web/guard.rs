//! Admits requests: those whose `Host` is ours, from no foreign web page, with a password where one
//! is required.
//!
//! A page in a browser on this machine can send requests here. DNS rebinding makes it send the
//! page's own name as `Host` (as in CVE-2018-14505), any other way its own `Origin`; both are
//! refused, and no CORS header ever lets it read an answer. No page reaches a Unix socket, whose
//! permissions are the only rule there.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::Authority;
use tokio::time::timeout;

use super::Web;
use super::access::{Policy, Refused};
use super::body::PacedBody;
use super::error::ApiError;
use super::peer::Peer;
use crate::export::WebRefusal;

/// The guard of one listener: the names that requests may use, and the views behind it.
#[derive(Debug)]
pub(super) struct RequestGuard {
    port: Option<u16>,
    allowed: Vec<String>,
    web: Arc<Web>,
}

impl RequestGuard {
    /// `port` is the one listened on.
    pub(super) fn new(port: Option<u16>, web: Arc<Web>) -> Self {
        let allowed = web
            .config
            .allowed_hosts
            .iter()
            .map(|host| host.to_ascii_lowercase())
            .collect();
        Self { port, allowed, web }
    }

    /// Whether the authority is a loopback name with our port or none; an allowed host (one without
    /// a port is allowed on every port); or a name of the certificate that is presented.
    fn knows(&self, authority: &str, policy: Option<&Policy>) -> bool {
        let authority = authority.to_ascii_lowercase();
        let Ok(parsed) = authority.parse::<Authority>() else {
            return false;
        };
        let ours = parsed.as_str() == parsed.host()
            || (parsed.port_u16().is_some() && parsed.port_u16() == self.port);
        (LOOPBACK.contains(&parsed.host()) && ours)
            || self
                .allowed
                .iter()
                .any(|allowed| *allowed == authority || allowed == parsed.host())
            || policy.is_some_and(|policy| policy.is_named(parsed.host()))
    }

    fn check(&self, request: &Request, policy: Option<&Policy>) -> Result<(), ApiError> {
        // HTTP/2 has the host in the target, and may omit the field.
        let target = request.uri().authority().map(|target| target.as_str());
        let field = request
            .headers()
            .contains_key(header::HOST)
            .then(|| only(request.headers(), &header::HOST));
        let host = field
            .unwrap_or(target)
            .filter(|host| self.knows(host, policy));
        let target = target.is_none_or(|target| self.knows(target, policy));
        let (Some(host), true) = (host, target) else {
            return Err(forbidden("foreign_host", FOREIGN_HOST));
        };
        if !request.headers().contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin =
            only(request.headers(), &header::ORIGIN).and_then(|origin| origin.split_once("://"));
        match origin {
            Some(("http" | "https", origin)) if origin.eq_ignore_ascii_case(host) => Ok(()),
            _ => Err(forbidden(
                "foreign_origin",
                "requests of other web pages are not answered",
            )),
        }
    }

    /// The policy for a request of the peer; `None` if there is none.
    async fn policy(&self, peer: &Peer) -> Result<Option<Arc<Policy>>, ApiError> {
        let Some(access) = self.web.access.as_ref().filter(|_| !peer.is_local()) else {
            return Ok(None);
        };
        access
            .policy()
            .await
            .map(Some)
            .ok_or_else(|| self.refuse(WebRefusal::Config))
    }

    /// Whether the peer satisfies the policy.
    async fn admit(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        policy: Option<&Policy>,
    ) -> Result<(), ApiError> {
        let (Some(access), Some(policy)) = (&self.web.access, policy) else {
            return Ok(());
        };
        if !peer
            .policy
            .get()
            .is_some_and(|number| policy.covers(*number))
        {
            return Err(self.refuse(WebRefusal::Config));
        }
        access
            .admit(policy, headers, peer)
            .await
            .map_err(|refused| {
                self.refuse(match refused {
                    Refused::Busy => WebRefusal::Busy,
                    Refused::Password => WebRefusal::Password,
                    Refused::Rate => WebRefusal::RateLimit,
                })
            })
    }

    /// Counts a refusal, and returns its answer.
    fn refuse(&self, why: WebRefusal) -> ApiError {
        self.web.metrics.web_refused(why);
        match why {
            WebRefusal::Password => ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "name and password are missing or wrong",
            ),
            WebRefusal::RateLimit => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit",
                "too many requests: ask less often",
            ),
            WebRefusal::Busy => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "the password could not be checked: try again",
            ),
            WebRefusal::Config | WebRefusal::Handshake | WebRefusal::Slow => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "web_config",
                "the rules of access have changed or cannot be read: connect again, or look into the log",
            ),
        }
    }
}

/// Admits or refuses a request, within the timeout, and marks every answer as private.
pub(super) async fn guard(
    State(request_guard): State<Arc<RequestGuard>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Arc<Peer>>().cloned() else {
        return late().into_response();
    };
    let answer = peer.answer();
    let (policy, response) = respond(&request_guard, &peer, request, next).await;
    let mut response = PacedBody::wrap(response, answer);
    let headers = response.headers_mut();
    for (name, value) in policy.iter().flat_map(|policy| policy.headers()) {
        // The page's own Content-Security-Policy names its scripts.
        if !headers.contains_key(name) {
            headers.insert(name, value.clone());
        }
    }
    // Unless the answer itself sets its cache control.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(CHALLENGE),
        );
    }
    response
}

/// The answer, and the policy under which it was given. Waiting for a password's turn has no
/// timeout here: the client decides how long it waits, and the answer that comes then is the right
/// one.
async fn respond(
    request_guard: &RequestGuard,
    peer: &Peer,
    request: Request,
    next: Next,
) -> (Option<Arc<Policy>>, Response) {
    let limit = request_guard.web.config.request_timeout;
    let policy = match timeout(limit, request_guard.policy(peer)).await {
        Ok(Ok(policy)) => policy,
        Ok(Err(refused)) => return (None, refused.into_response()),
        Err(_) => return (None, late().into_response()),
    };
    let checked = if peer.is_local() {
        Ok(())
    } else {
        request_guard.check(&request, policy.as_deref())
    };
    let admitted = match checked {
        Ok(()) => {
            request_guard
                .admit(request.headers(), peer, policy.as_deref())
                .await
        }
        refused => refused,
    };
    let response = match admitted {
        Ok(()) => timeout(limit, next.run(request))
            .await
            .unwrap_or_else(|_| late().into_response()),
        Err(refused) => refused.into_response(),
    };
    (policy, response)
}

/// The value of a header that occurs exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        None
    } else {
        value.to_str().ok()
    }
}

fn forbidden(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, message)
}

fn late() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "timeout",
        "the answer took too long: try again",
    )
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
const FOREIGN_HOST: &str =
    "this name is not answered to: use localhost, or add the name to web.allowed_hosts";
const CHALLENGE: &str = "Basic realm=\"gravimeter\", charset=\"UTF-8\"";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
