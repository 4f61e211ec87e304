//! Finds out to which provider a request goes.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::Mutex;

use super::open::Opener;
use super::sender::Provider;
use super::tasks::Spawner;
use crate::dialect::BASE_URL_PATHS;
use crate::observe::{Alpn, Connection};
use crate::record::{ConnectionCaller, RefuseReason};
use crate::relay::Relay;
use crate::relay::base_url::{BaseUrlTarget, BaseUrls, Server};
use crate::relay::refusal::Refusal;

/// The providers that an agent connection leads to.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for a connection, which has far larger buffers"
)]
pub(in crate::relay) enum Providers {
    /// The one that the agent has asked for in its TLS handshake.
    One {
        provider: Arc<Provider>,
        opener: Opener,
    },
    /// Those of the base-URL door.
    BaseUrl(BaseUrlProviders),
}

/// The providers of one connection to the base-URL door, each opened when it is first asked for.
pub(in crate::relay) struct BaseUrlProviders {
    pub(in crate::relay) relay: Arc<Relay>,
    pub(in crate::relay) urls: BaseUrls,
    pub(in crate::relay) caller: ConnectionCaller,
    pub(in crate::relay) opener: Opener,
    /// Held while one is opened: requests of HTTP/1 come one after the other.
    pub(in crate::relay) opened: Mutex<Vec<(Server, Arc<Provider>)>>,
}

/// Why a request leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unrouted {
    /// Its `Host` is a name of another site (DNS rebinding).
    #[error("this server is asked by its address only: use localhost, 127.0.0.1 or [::1]")]
    ForeignHost,
    /// A page of another site has sent it.
    #[error("requests of web pages are not served")]
    ForeignSite,
    /// The provider's host has no name that calls could be counted under.
    #[error("the provider cannot be named")]
    Nameless,
    /// Nothing is behind its path.
    #[error(
        "no server is behind this path: it begins with {}, or capture.base_url.upstream names one for all others",
        known_paths()
    )]
    NoPath,
    /// The provider cannot be had.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(Refusal),
    /// HTTP could not begin.
    #[error("the provider is gone: {0}")]
    Gone(hyper::Error),
}

impl Providers {
    /// Where parts of HTTP are added.
    pub(super) fn parts(&self) -> Spawner {
        match self {
            Self::One { opener, .. } => opener.parts.clone(),
            Self::BaseUrl(urls) => urls.opener.parts.clone(),
        }
    }

    /// Refuses a request that may not come here, wherever it leads.
    ///
    /// # Errors
    /// A page in a browser of this machine has sent it, or may have.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Unrouted> {
        match self {
            Self::One { .. } => Ok(()),
            Self::BaseUrl(_) => admit(headers),
        }
    }

    /// The provider of a request, whose head is readied for it.
    ///
    /// # Errors
    /// There is none, or it cannot be had.
    pub(super) async fn route(
        &self,
        request: &mut Request<Incoming>,
    ) -> Result<Arc<Provider>, Unrouted> {
        match self {
            Self::One { provider, .. } => Ok(Arc::clone(provider)),
            Self::BaseUrl(urls) => urls.route(request).await,
        }
    }
}

impl BaseUrlProviders {
    async fn route(&self, request: &mut Request<Incoming>) -> Result<Arc<Provider>, Unrouted> {
        let (target, path) = self.urls.find(request.uri()).ok_or(Unrouted::NoPath)?;
        let provider = self.provider(target).await?;
        *request.uri_mut() = Uri::from(path);
        request.headers_mut().insert(HOST, target.authority());
        Ok(provider)
    }

    async fn provider(&self, target: &BaseUrlTarget) -> Result<Arc<Provider>, Unrouted> {
        let mut opened = self.opened.lock().await;
        if let Some((_, provider)) = opened.iter().find(|(server, _)| *server == target.server) {
            return Ok(Arc::clone(provider));
        }
        let host = target.host().ok_or(Unrouted::Nameless)?;
        let (side, port) = self
            .relay
            .reach(&target.server)
            .await
            .inspect_err(|refusal| refusal.emit(&*self.relay.record))
            .map_err(Unrouted::Unreachable)?;
        let connection = Connection {
            host,
            alpn: Alpn::Http1,
            opened: Instant::now(),
            opened_at: SystemTime::now(),
            port,
            setup: None,
            caller: self.caller.clone(),
            changes: None,
        };
        let provider = self
            .opener
            .open(side, connection)
            .await
            .map_err(Unrouted::Gone)?;
        opened.push((target.server.clone(), Arc::clone(&provider)));
        Ok(provider)
    }
}

impl Unrouted {
    /// As what it is counted; `None` where that was done.
    pub(super) fn reason(&self) -> Option<RefuseReason> {
        match self {
            Self::ForeignHost | Self::ForeignSite => Some(RefuseReason::ForeignSite),
            Self::Gone(_) | Self::Nameless => Some(RefuseReason::UpstreamConnect),
            Self::NoPath => Some(RefuseReason::BadRequest),
            Self::Unreachable(_) => None,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::ForeignHost | Self::ForeignSite => StatusCode::FORBIDDEN,
            Self::NoPath => StatusCode::NOT_FOUND,
            Self::Unreachable(Refusal::Timeout(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Gone(_) | Self::Nameless | Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

fn known_paths() -> String {
    let paths = BASE_URL_PATHS.map(|path| format!("/{}", path.segment));
    paths.join(", ")
}

/// Refuses what a browser sends for a page of another site. DNS rebinding makes it send the page's
/// own name as `Host`, any other way its own `Origin` or the word that the site is another one.
fn admit(headers: &HeaderMap) -> Result<(), Unrouted> {
    let host = only(headers, &HOST).and_then(|host| host.parse::<Authority>().ok());
    if !host.is_some_and(|host| LOOPBACK.contains(&host.host())) {
        return Err(Unrouted::ForeignHost);
    }
    if headers.contains_key(ORIGIN) {
        let origin = only(headers, &ORIGIN).and_then(|origin| origin.parse::<Uri>().ok());
        let is_ours = |origin: Uri| origin.host().is_some_and(|host| LOOPBACK.contains(&host));
        if !origin.is_some_and(is_ours) {
            return Err(Unrouted::ForeignSite);
        }
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        let site = only(headers, &SEC_FETCH_SITE);
        if !matches!(site, Some("none" | "same-origin")) {
            return Err(Unrouted::ForeignSite);
        }
    }
    Ok(())
}

/// The value of a field that occurs exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn admitted(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        admit(&headers).is_ok()
    }

    #[test]
    fn programs_of_this_machine_are_served_and_pages_of_other_sites_are_not() {
        for host in ["localhost:8744", "127.0.0.1", "[::1]:1"] {
            assert!(admitted(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8744",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "",
        ] {
            assert!(!admitted(&[("host", host)]), "{host}");
        }
        assert!(!admitted(&[]));
        assert!(!admitted(&[("host", "localhost"), ("host", "localhost")]));
        let with = |name, value| admitted(&[("host", "localhost"), (name, value)]);
        assert!(with("origin", "http://localhost:3000"));
        assert!(with("sec-fetch-site", "same-origin") && with("sec-fetch-site", "none"));
        for origin in [
            "null",
            "https://evil.example",
            "file://",
            "http://localhost.evil.example",
        ] {
            assert!(!with("origin", origin), "{origin}");
        }
        for site in ["cross-site", "same-site", "x"] {
            assert!(!with("sec-fetch-site", site), "{site}");
        }
    }
}
