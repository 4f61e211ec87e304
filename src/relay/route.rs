//! Chooses the route of a connection by its beginning. Pure.
//!
//! Only configured hosts are decrypted. What cannot be read as TLS is another protocol and passes
//! untouched; what begins like TLS and then violates the protocol is refused.

use crate::record::{Host, HostPattern, TunnelReason};
use crate::tls::hello::{ClientKind, Hello, HelloError};

/// How a connection begins.
#[derive(Debug)]
pub(super) enum Opening {
    /// With a ClientHello.
    Hello(Hello),
    /// With a part of a ClientHello whose rest did not come in time.
    Late,
    /// With something else.
    Other(HelloError),
    /// With nothing, for as long as a ClientHello may take.
    Silent,
}

/// What to do with a connection.
#[derive(Debug)]
pub(super) enum Route {
    /// Decrypt it.
    Intercept {
        /// The host that the agent asks for.
        host: Host,
        /// The protocols that it offers, in its order.
        alpn: Vec<Vec<u8>>,
        /// The kind of TLS client that asks.
        client: ClientKind,
    },
    /// Close it: this is no ClientHello.
    Refuse(HelloError),
    /// Close it: the ClientHello did not come in time.
    RefuseLate,
    /// Pass it on as it is.
    Tunnel {
        /// Why.
        why: TunnelReason,
        /// The host that the agent asks for, if it says so.
        sni: Option<Host>,
    },
}

/// Chooses the route.
#[must_use]
pub(super) fn route(opening: Opening, intercept: &[HostPattern]) -> Route {
    match opening {
        Opening::Hello(Hello {
            sni: Some(host),
            alpn,
            client,
            ..
        }) if intercept.iter().any(|pattern| pattern.matches(&host)) => {
            Route::Intercept { host, alpn, client }
        }
        Opening::Hello(Hello {
            sni,
            has_encrypted_hello,
            ..
        }) => {
            let why = match sni {
                _ if has_encrypted_hello => TunnelReason::EncryptedHello,
                None => TunnelReason::NoSni,
                Some(_) => TunnelReason::NotSelected,
            };
            Route::Tunnel { why, sni }
        }
        Opening::Late => Route::RefuseLate,
        Opening::Other(HelloError::NotTls) => Route::Tunnel {
            why: TunnelReason::NotTls,
            sni: None,
        },
        Opening::Other(error) => Route::Refuse(error),
        Opening::Silent => Route::Tunnel {
            why: TunnelReason::Silent,
            sni: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Label as _;

    fn routed(opening: Opening) -> String {
        let intercept = [HostPattern::parse("*.example.com").unwrap()];
        match route(opening, &intercept) {
            Route::Intercept { host, alpn, .. } => format!("intercept {host} {}", alpn.len()),
            Route::Refuse(error) => format!("refuse {error:?}"),
            Route::RefuseLate => "refuse late".to_owned(),
            Route::Tunnel { why, sni } => format!("tunnel {} {}", why.as_str(), sni.is_some()),
        }
    }

    fn hello(sni: Option<&str>) -> Opening {
        let sni = sni.map(|name| Host::parse(name).unwrap());
        Opening::Hello(Hello {
            sni,
            alpn: vec![b"h2".to_vec()],
            has_encrypted_hello: false,
            client: ClientKind::UNKNOWN,
        })
    }

    /// The same with an `encrypted_client_hello` extension.
    fn encrypted(outer: Option<&str>) -> Opening {
        match hello(outer) {
            Opening::Hello(hello) => Opening::Hello(Hello {
                has_encrypted_hello: true,
                ..hello
            }),
            other => other,
        }
    }

    #[test]
    fn only_what_is_selected_is_decrypted() {
        for (opening, expected) in [
            (
                hello(Some("api.example.com")),
                "intercept api.example.com 1",
            ),
            (hello(Some("example.com")), "tunnel not_selected true"),
            (hello(None), "tunnel no_sni false"),
            (
                encrypted(Some("api.example.com")),
                "intercept api.example.com 1",
            ),
            (
                encrypted(Some("front.example.net")),
                "tunnel encrypted_hello true",
            ),
            (encrypted(None), "tunnel encrypted_hello false"),
            (Opening::Silent, "tunnel silent false"),
            (Opening::Other(HelloError::NotTls), "tunnel not_tls false"),
            (Opening::Other(HelloError::Malformed), "refuse Malformed"),
            (Opening::Other(HelloError::TooLarge), "refuse TooLarge"),
            (Opening::Other(HelloError::Closed), "refuse Closed"),
            (Opening::Late, "refuse late"),
        ] {
            assert_eq!(routed(opening), expected);
        }
    }
}
