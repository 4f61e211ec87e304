//! The address and token of a language server: loopback addresses only, and a token that is never
//! shown.

use std::fmt;
use std::net::SocketAddr;

use http::HeaderValue;

use crate::capture::namespace::LoopbackDialer;

/// The RPC ports of one language server. At least one is known, and all are on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    token: Option<Token>,
    namespace: Option<LoopbackDialer>,
}

/// Why ports are not a valid endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither port is given.
    #[error("the agent's RPC ports are not known")]
    NoPort,
    /// The address is not on loopback. The agent's certificate proves nothing and its token opens
    /// everything: neither is fit for a network.
    #[error("{0} is not on loopback; the agent's RPC is used there only")]
    NotLoopback(SocketAddr),
}

impl Endpoint {
    /// `http` speaks in the clear, `https` over TLS.
    ///
    /// # Errors
    /// [`EndpointError`] when both are missing or one is not on loopback.
    pub fn new(
        http: Option<SocketAddr>,
        https: Option<SocketAddr>,
        token: Option<Token>,
    ) -> Result<Self, EndpointError> {
        let strange = [http, https]
            .into_iter()
            .flatten()
            .find(|addr| !addr.ip().to_canonical().is_loopback());
        match strange {
            Some(addr) => Err(EndpointError::NotLoopback(addr)),
            None if http.is_none() && https.is_none() => Err(EndpointError::NoPort),
            None => Ok(Self {
                http,
                https,
                token,
                namespace: None,
            }),
        }
    }

    /// The same on the loopback of another network namespace; of our own where there is `None`.
    #[must_use]
    pub fn within(self, namespace: Option<LoopbackDialer>) -> Self {
        Self { namespace, ..self }
    }

    /// RPC in the clear.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// RPC over TLS.
    #[must_use]
    pub fn https(&self) -> Option<SocketAddr> {
        self.https
    }

    pub(super) fn namespace(&self) -> Option<&LoopbackDialer> {
        self.namespace.as_ref()
    }

    pub(super) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
}

/// The token that each request must carry. A secret: it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl Token {
    /// Longest token: the language server's are UUIDs.
    pub const MAX_BYTES: usize = 1024;

    /// A token from its text; `None` when it is empty, too long, or not printable ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && text.bytes().all(|b| b.is_ascii_graphic());
        let mut value = HeaderValue::from_str(text).ok().filter(|_| fits)?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// Its value for the header field that carries it.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Option<SocketAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn only_loopback_is_an_endpoint() {
        for good in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(Endpoint::new(addr(good), None, None).is_ok(), "{good}");
            assert!(Endpoint::new(None, addr(good), None).is_ok(), "{good}");
        }
        for bad in [
            "192.0.2.1:1",
            "0.0.0.0:1",
            "[::]:1",
            "[2001:db8::1]:1",
            "[::ffff:192.0.2.1]:1",
        ] {
            let refused = Err(EndpointError::NotLoopback(addr(bad).expect("an address")));
            assert_eq!(Endpoint::new(addr(bad), addr("127.0.0.1:1"), None), refused);
            assert_eq!(Endpoint::new(None, addr(bad), None), refused);
        }
        assert_eq!(Endpoint::new(None, None, None), Err(EndpointError::NoPort));
    }

    #[test]
    fn a_token_is_printable_and_never_shown() {
        for bad in ["", "a b", "a\r\nb", "ä", &"x".repeat(Token::MAX_BYTES + 1)] {
            assert_eq!(Token::new(bad), None);
        }
        let endpoint =
            Endpoint::new(addr("127.0.0.1:1"), None, Token::new("s3cr3t")).expect("an endpoint");
        assert!(endpoint.token().is_some());
        assert!(
            !format!("{endpoint:?} {:?}", endpoint.token().map(Token::value)).contains("s3cr3t")
        );
    }
}
