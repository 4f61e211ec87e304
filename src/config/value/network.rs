//! Readers of values that name something on a network: addresses, hosts, URLs and tokens.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Value, Wrong};
use crate::cascade::client::Token;
use crate::export::otlp::Endpoint;
use crate::notify::WebhookUrl;
use crate::record::{Host, HostPattern};
use crate::relay::base_url::BaseUrlTarget;

impl Value {
    /// An IP address with its port, such as `example`.
    pub(in crate::config) fn address(&self, example: &str) -> Result<SocketAddr, Wrong> {
        let text = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        text.parse().map_err(|_| {
            let port = text
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<u16>().ok());
            let right = port.map_or_else(|| example.to_owned(), |port| format!("127.0.0.1:{port}"));
            self.is_not(
                "an address",
                &format!("it as {right:?} (IP address and port)"),
            )
        })
    }

    /// The base URL of a collector. What may be a secret is not repeated.
    pub(in crate::config) fn collector(&self) -> Result<Endpoint, Wrong> {
        let endpoint = if let Self::Text(text) = self {
            Endpoint::parse(text)
        } else {
            None
        };
        endpoint.ok_or_else(|| {
            let how = r#"this is not a collector's URL: write it as "http://127.0.0.1:4317", without user and query"#;
            Wrong::new(format!("{how}; what it must know of us stands in otlp.headers"))
        })
    }

    /// Where alerts are posted. It may hold a token, and is not repeated.
    pub(in crate::config) fn webhook(&self) -> Result<WebhookUrl, Wrong> {
        let text = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        text.parse().map_err(|wrong| {
            Wrong::new(format!(
                r#"the value is {wrong}: write it as "http://127.0.0.1:9093/api/v2/alerts""#
            ))
        })
    }

    /// A pattern of hosts to decrypt.
    pub(in crate::config) fn host_pattern(&self) -> Result<HostPattern, Wrong> {
        let Self::Text(text) = self else {
            return Err(self.is_not("a host", r#"it as "api.example.com""#));
        };
        HostPattern::parse(text).map_err(|_| {
            let how = r#"it as "api.example.com" or "*.example.com" (one * in the first label, no address, no port)"#;
            self.is_not("a host pattern", how)
        })
    }

    /// A name or IP address as it stands in a `Host` header, with a port or without.
    pub(in crate::config) fn host_header(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let host = match text.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => host,
            _ => &text,
        };
        let unbracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let numeric = unbracketed.map_or_else(
            || host.parse::<Ipv4Addr>().is_ok(),
            |it| it.parse::<Ipv6Addr>().is_ok(),
        );
        if numeric || Host::parse(host).is_ok() {
            return Ok(text);
        }
        Err(self.is_not(
            "a host",
            r#"it as "metrics.example.com", "192.0.2.7" or "[2001:db8::7]", without a scheme"#,
        ))
    }

    /// An `https://` base URL. A query or credentials would end up in logs, so neither is accepted.
    pub(in crate::config) fn https_url(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let uri = text
            .parse::<http::Uri>()
            .ok()
            .filter(|uri| uri.scheme_str() == Some("https") && uri.query().is_none());
        match uri.and_then(|uri| {
            uri.authority()
                .filter(|authority| !authority.as_str().contains('@'))
                .cloned()
        }) {
            Some(_) => Ok(text),
            None => Err(self.is_not("a base URL", r#"it as "https://api.example.com""#)),
        }
    }

    /// The URL of a server to which the base-URL door leads. What may be a secret is not repeated.
    pub(in crate::config) fn base_url(&self) -> Result<BaseUrlTarget, Wrong> {
        let Self::Text(text) = self else {
            return Err(self.is_not("a URL", r#"it as "http://127.0.0.1:8000""#));
        };
        BaseUrlTarget::parse(text).map_err(|error| {
            Wrong::new(format!(
                "{error}; write it as \"http://127.0.0.1:8000\" or \"https://gateway.example.com\""
            ))
        })
    }

    /// A token; what it was is told to nobody.
    pub(in crate::config) fn token(&self) -> Result<Token, Wrong> {
        let token = if let Self::Text(text) = self {
            Token::new(text)
        } else {
            None
        };
        token.ok_or_else(|| {
            Wrong::new(
                "the value is not a token: write printable ASCII without spaces in quotes"
                    .to_owned(),
            )
        })
    }
}
