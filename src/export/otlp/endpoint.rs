//! Where a collector is, and what it speaks.

use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;

/// The base URL of a collector, without credentials and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    has_path: bool,
}

impl Endpoint {
    /// `None` when the text is no such URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let fits =
            is_web && !authority.contains('@') && uri.query().is_none() && !text.contains('#');
        let has_path = text.split_once("://")?.1.contains('/');
        fits.then_some(Self { uri, has_path })
    }

    /// Whether the collector is spoken to over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Its host and port, as `host:port`.
    #[must_use]
    pub(crate) fn address(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        let usual = if self.is_tls() { 443 } else { 80 };
        format!("{host}:{}", self.port().unwrap_or(usual))
    }

    /// Whether a request to either goes to the same program.
    #[must_use]
    pub fn has_origin_of(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    /// Without its path, which gRPC has no use for.
    pub(super) fn origin(&self) -> Uri {
        self.at(PathAndQuery::from_static("/"))
    }

    /// Where a signal is posted: the path that was given, or the usual one.
    pub(super) fn of(&self, signal: Signal) -> Uri {
        if self.has_path {
            self.uri.clone()
        } else {
            self.at(PathAndQuery::from_static(signal.path()))
        }
    }

    /// Where metrics go if spans go here; `None` when a path of its own leaves that open.
    pub(super) fn for_metrics(&self) -> Option<Self> {
        if !self.has_path {
            return Some(self.clone());
        }
        let base = self.uri.path().strip_suffix(Signal::Traces.path())?;
        let path = format!("{base}{}", Signal::Metrics.path()).parse().ok()?;
        Some(Self {
            uri: self.at(path),
            has_path: true,
        })
    }

    fn at(&self, path: PathAndQuery) -> Uri {
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(path);
        // Scheme, authority and path are all there.
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    fn port(&self) -> Option<u16> {
        self.uri.port_u16()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// What a collector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC on the port that is registered for it (4317), protobuf over HTTP/1.1 on any other.
    Auto,
    /// gRPC.
    Grpc,
    /// protobuf over HTTP/1.1.
    HttpProtobuf,
}

impl Protocol {
    pub(super) fn is_grpc(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Auto => endpoint.port() == Some(GRPC_PORT),
            Self::Grpc => true,
            Self::HttpProtobuf => false,
        }
    }
}

/// The port of OTLP over gRPC.
const GRPC_PORT: u16 = 4317;

/// The kind of exported data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Traces,
}

impl Signal {
    /// The path to which the specification posts it.
    fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metrics => "metrics",
            Self::Traces => "spans",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_path_gets_the_usual_one() {
        let traces = |text| {
            Endpoint::parse(text)
                .expect("an endpoint")
                .of(Signal::Traces)
                .to_string()
        };
        assert_eq!(
            traces("http://127.0.0.1:4318"),
            "http://127.0.0.1:4318/v1/traces"
        );
        assert_eq!(
            traces("https://otel.example.com/"),
            "https://otel.example.com/"
        );
        assert_eq!(
            traces("https://otel.example.com/own/way"),
            "https://otel.example.com/own/way"
        );
        let origin = Endpoint::parse("https://otel.example.com/own/way")
            .expect("an endpoint")
            .origin();
        assert_eq!(origin.to_string(), "https://otel.example.com/");
    }

    #[test]
    fn what_is_no_endpoint_is_none() {
        for bad in [
            "",
            "localhost:4317",
            "grpc://a:1",
            "http://",
            "http://u:p@a:1",
            "http://a:1?key=s",
            "http://a#b",
            "/a",
        ] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_registered_port_speaks_grpc() {
        let is_grpc = |protocol: Protocol, text| {
            protocol.is_grpc(&Endpoint::parse(text).expect("an endpoint"))
        };
        assert!(is_grpc(Protocol::Auto, "http://127.0.0.1:4317"));
        assert!(!is_grpc(Protocol::Auto, "http://127.0.0.1:4318"));
        assert!(!is_grpc(Protocol::Auto, "https://otel.example.com"));
        assert!(is_grpc(Protocol::Grpc, "https://otel.example.com"));
        assert!(!is_grpc(Protocol::HttpProtobuf, "http://127.0.0.1:4317"));
    }
}
