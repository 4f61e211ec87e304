//! Where the base-URL door leads: by the first segment of a request's path, or else to a server of
//! the user's own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderValue;
use http::uri::{PathAndQuery, Uri};

use crate::dialect::{BASE_URL_PATHS, BaseUrlPath, BaseUrlServer};
use crate::record::Host;

/// A server to which the base-URL door leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrlTarget {
    pub(super) server: Server,
    /// What goes before the path, without a slash at its end.
    prefix: String,
    /// The value of `Host`.
    authority: HeaderValue,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Server {
    /// By TLS, and verified.
    Tls(Host, u16),
    /// In the clear, on this machine only.
    Local(SocketAddr),
}

/// A text is not the URL of a server to which the base-URL door may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is no URL of HTTP, or has credentials or a query.
    #[error(
        "not the URL of a server: it begins with https:// or http://, and has no user and no query"
    )]
    NotAUrl,
    /// A server on another machine would be reached in the clear.
    #[error("plain http:// is for this machine only (localhost, 127.0.0.1, [::1]): use https://")]
    NotLocal,
}

impl BaseUrlTarget {
    /// Reads a URL: `https://` with any host, or `http://` with this machine.
    ///
    /// # Errors
    /// [`InvalidTarget`].
    pub fn parse(url: &str) -> Result<Self, InvalidTarget> {
        let uri: Uri = url.parse().map_err(|_| InvalidTarget::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidTarget::NotAUrl);
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(InvalidTarget::NotAUrl);
        }
        let server = match scheme {
            "https" => {
                let host = Host::parse(authority.host()).map_err(|_| InvalidTarget::NotAUrl)?;
                Server::Tls(host, authority.port_u16().unwrap_or(443))
            }
            "http" => {
                let address = loopback(authority.host()).ok_or(InvalidTarget::NotLocal)?;
                Server::Local(SocketAddr::new(address, authority.port_u16().unwrap_or(80)))
            }
            _ => return Err(InvalidTarget::NotAUrl),
        };
        Ok(Self {
            server,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| InvalidTarget::NotAUrl)?,
        })
    }

    /// The name under which its calls are counted.
    pub(super) fn host(&self) -> Option<Host> {
        match &self.server {
            Server::Tls(host, _) => Some(host.clone()),
            Server::Local(_) => Host::parse("localhost").ok(),
        }
    }

    pub(super) fn authority(&self) -> HeaderValue {
        self.authority.clone()
    }

    fn of(path: &BaseUrlPath) -> Option<Self> {
        let (server, authority) = match path.server {
            BaseUrlServer::Provider(host) => {
                let server = Server::Tls(Host::parse(host).ok()?, 443);
                (server, HeaderValue::from_static(host))
            }
            BaseUrlServer::Local(address) => {
                let authority = HeaderValue::from_str(&address.to_string()).ok()?;
                (Server::Local(address), authority)
            }
        };
        Some(Self {
            server,
            prefix: String::new(),
            authority,
        })
    }
}

/// The address of this machine that a host stands for.
fn loopback(host: &str) -> Option<IpAddr> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    match plain.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Some(address),
        Ok(_) => None,
        Err(_) => (plain == "localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

/// All servers to which the base-URL door leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseUrls {
    by_segment: HashMap<&'static str, BaseUrlTarget>,
    /// Where everything else goes.
    other: Option<BaseUrlTarget>,
}

impl BaseUrls {
    /// The known paths, and a server for all others.
    pub(super) fn new(other: Option<BaseUrlTarget>) -> Self {
        let targets = BASE_URL_PATHS.iter();
        let by_segment = targets.filter_map(|path| Some((path.segment, BaseUrlTarget::of(path)?)));
        Self {
            by_segment: by_segment.collect(),
            other,
        }
    }

    /// The server of a request, and the path and query as it is to see them.
    pub(super) fn find(&self, uri: &Uri) -> Option<(&BaseUrlTarget, PathAndQuery)> {
        let path = uri.path().strip_prefix('/')?;
        let (segment, rest) = path.split_once('/').unwrap_or((path, ""));
        let (target, rest) = match (self.by_segment.get(segment), &self.other) {
            (Some(target), _) => (target, rest),
            (None, Some(other)) => (other, path),
            (None, None) => return None,
        };
        let query = uri.query().map(|query| format!("?{query}"));
        let whole = format!("{}/{rest}{}", target.prefix, query.unwrap_or_default());
        Some((target, whole.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(urls: &BaseUrls, path: &str) -> Option<(String, String)> {
        let (target, path) = urls.find(&path.parse().unwrap())?;
        Some((
            target.authority.to_str().unwrap().to_owned(),
            path.to_string(),
        ))
    }

    #[test]
    fn the_first_segment_says_where_a_request_goes_and_goes_itself() {
        let urls = BaseUrls::new(None);
        for (path, host, rest) in [
            (
                "/anthropic/v1/messages?beta=true",
                "api.anthropic.com",
                "/v1/messages?beta=true",
            ),
            ("/openai/v1/responses", "api.openai.com", "/v1/responses"),
            ("/gemini", "generativelanguage.googleapis.com", "/"),
            (
                "/gemini//v1beta/%2F?",
                "generativelanguage.googleapis.com",
                "//v1beta/%2F?",
            ),
            (
                "/cloudcode/v1internal:x",
                "daily-cloudcode-pa.googleapis.com",
                "/v1internal:x",
            ),
            ("/ollama/api/chat", "127.0.0.1:11434", "/api/chat"),
        ] {
            let expected = Some((host.to_owned(), rest.to_owned()));
            assert_eq!(found(&urls, path), expected, "{path}");
        }
        for path in ["/", "/v1/messages", "/Anthropic/v1", "/anthropicv1"] {
            assert_eq!(found(&urls, path), None, "{path}");
        }
    }

    #[test]
    fn a_server_of_ones_own_gets_everything_else() {
        let other = BaseUrlTarget::parse("http://localhost:8000/base/").unwrap();
        let urls = BaseUrls::new(Some(other));
        let own = |path: &str| Some(("localhost:8000".to_owned(), path.to_owned()));
        assert_eq!(found(&urls, "/v1/models?a=b"), own("/base/v1/models?a=b"));
        assert_eq!(found(&urls, "/"), own("/base/"));
        let known = Some(("api.openai.com".to_owned(), "/v1".to_owned()));
        assert_eq!(found(&urls, "/openai/v1"), known);
    }

    #[test]
    fn only_this_machine_is_reached_in_the_clear() {
        for good in [
            "https://gateway.example.com",
            "https://gateway.example.com:8443/a/b",
            "http://127.0.0.1:11434",
            "http://[::1]:1234/v1",
            "http://localhost",
        ] {
            assert!(BaseUrlTarget::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://gateway.example.com", InvalidTarget::NotLocal),
            ("http://192.0.2.1:80", InvalidTarget::NotLocal),
            ("ftp://localhost", InvalidTarget::NotAUrl),
            ("localhost:80", InvalidTarget::NotAUrl),
            (
                "https://user:word@gateway.example.com",
                InvalidTarget::NotAUrl,
            ),
            ("https://gateway.example.com/?key=1", InvalidTarget::NotAUrl),
            ("https://192.0.2.1", InvalidTarget::NotAUrl),
            ("", InvalidTarget::NotAUrl),
        ] {
            assert_eq!(BaseUrlTarget::parse(bad), Err(why), "{bad}");
        }
    }
}
