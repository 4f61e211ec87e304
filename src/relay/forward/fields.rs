//! Header fields that are meant for one connection and not for the message (RFC 9110 section 7.6.1),
//! and what they ask for. Pure.
//!
//! HTTP/2 has none: hyper refuses them there.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT,
    HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A message cannot be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misuse {
    #[error("the field Connection names a field that is not of the connection")]
    Connection,
    #[error("a request must have one field Host")]
    Host,
    #[error("a request may only ask for the upgrade to a WebSocket")]
    Upgrade,
}

/// What a message asks for of its connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    /// It is the last one.
    pub(super) is_last: bool,
    /// To go on as a WebSocket.
    pub(super) is_upgrade: bool,
}

/// Takes the fields of the connection out of a request of HTTP/1. Those for an upgrade to a WebSocket
/// stay, and `TE: trailers`.
///
/// # Errors
/// The request must be refused.
pub(super) fn of_request(headers: &mut HeaderMap) -> Result<ConnectionOptions, Misuse> {
    if headers.get_all(HOST).iter().count() != 1 {
        return Err(Misuse::Host);
    }
    let wants_trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    let upgrades: Vec<_> = headers.get_all(UPGRADE).iter().cloned().collect();
    let names_upgrade =
        tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    let is_socket =
        matches!(&*upgrades, [one] if one.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if names_upgrade && !upgrades.is_empty() && !is_socket {
        // HTTP/2 without TLS (h2c) is not offered by any provider: it is dropped, as a server may
        // that does not know it.
        let is_h2c = upgrades.iter().all(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .all(|token| token.trim_ascii().eq_ignore_ascii_case(b"h2c"))
        });
        if !is_h2c {
            return Err(Misuse::Upgrade);
        }
    }
    let mut options = strip(headers)?;
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    }
    options.is_upgrade = is_socket && names_upgrade;
    if options.is_upgrade {
        keep_upgrade(headers);
    }
    Ok(options)
}

/// Takes the fields of the connection out of a response of HTTP/1. `upgrades` says whether it is the
/// one with which the connection becomes a WebSocket.
///
/// # Errors
/// The response must not be passed on.
pub(super) fn of_response(
    headers: &mut HeaderMap,
    upgrades: bool,
) -> Result<ConnectionOptions, Misuse> {
    let mut options = strip(headers)?;
    options.is_upgrade = upgrades;
    if upgrades {
        keep_upgrade(headers);
    } else if options.is_last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(options)
}

/// Takes the fields of the connection out of an interim response of HTTP/1. What its `Connection`
/// names is left out if it may be, and cannot refuse it: the final response is still to come.
pub(super) fn of_interim(headers: &mut HeaderMap) {
    if strip(headers).is_err() {
        headers.remove(CONNECTION);
    }
}

/// Whether the agent waits for word before it sends the body.
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn keep_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Removes every field of the connection: all lines of `Connection` count together.
fn strip(headers: &mut HeaderMap) -> Result<ConnectionOptions, Misuse> {
    let mut options = ConnectionOptions::default();
    let mut named = Vec::new();
    for token in tokens(headers, &CONNECTION) {
        options.is_last |= token.eq_ignore_ascii_case(b"close");
        match HeaderName::from_bytes(token) {
            Ok(name) if OF_THE_MESSAGE.contains(&name) => return Err(Misuse::Connection),
            Ok(name) => named.push(name),
            Err(_) => return Err(Misuse::Connection),
        }
    }
    let own = [
        CONNECTION,
        TE,
        UPGRADE,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        HTTP2_SETTINGS,
    ];
    for name in named.into_iter().chain(own) {
        headers.remove(name);
    }
    Ok(options)
}

/// The elements of a comma-separated field, of all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that `Connection` must not name: to drop one of them would make another message of it.
const OF_THE_MESSAGE: [HeaderName; 10] = [
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    SET_COOKIE,
    TRAILER,
    TRANSFER_ENCODING,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn request(
        fields: &[(&'static str, &'static str)],
    ) -> Result<(ConnectionOptions, HeaderMap), Misuse> {
        let mut headers = headers(fields);
        headers.append(HOST, HeaderValue::from_static("a"));
        let options = of_request(&mut headers)?;
        headers.remove(HOST);
        Ok((options, headers))
    }

    #[test]
    fn every_field_that_connection_names_goes_whichever_line_names_it() {
        let (options, left) = request(&[
            ("connection", ""),
            ("connection", "keep-alive, X-One"),
            ("connection", "x-two"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("te", "gzip"),
        ])
        .unwrap();
        assert_eq!(options, ConnectionOptions::default());
        assert_eq!(left, headers(&[("x-three", "3")]));
    }

    #[test]
    fn a_connection_that_names_a_field_of_the_message_is_refused() {
        for name in ["Authorization", "close, host", "content-length", "a b"] {
            let refused = request(&[("connection", name)]).map(|_| ());
            assert_eq!(refused, Err(Misuse::Connection), "{name}");
        }
        let mut twice = headers(&[("host", "a"), ("host", "b")]);
        assert_eq!(of_request(&mut twice), Err(Misuse::Host));
        assert_eq!(of_request(&mut HeaderMap::new()), Err(Misuse::Host));
    }

    #[test]
    fn trailers_and_websockets_stay_and_other_upgrades_do_not() {
        let (_, left) = request(&[("te", "gzip, trailers"), ("connection", "TE")]).unwrap();
        assert_eq!(left, headers(&[("te", "trailers"), ("connection", "TE")]));
        let socket = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "k"),
        ];
        let (options, left) = request(&socket).unwrap();
        assert!(options.is_upgrade);
        assert_eq!(left.len(), 3);
        let (options, left) = request(&[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQ"),
        ])
        .unwrap();
        assert_eq!((options, left.len()), (ConnectionOptions::default(), 0));
        let other = request(&[("connection", "upgrade"), ("upgrade", "tls/1.0")]);
        assert_eq!(other.map(|_| ()), Err(Misuse::Upgrade));
    }

    #[test]
    fn a_response_that_is_the_last_one_says_so_to_the_agent() {
        let mut last = headers(&[("connection", "close"), ("x", "1")]);
        assert!(of_response(&mut last, false).unwrap().is_last);
        assert_eq!(last, headers(&[("connection", "close"), ("x", "1")]));
        let mut kept = headers(&[("connection", "keep-alive"), ("keep-alive", "timeout=5")]);
        assert!(!of_response(&mut kept, false).unwrap().is_last);
        assert!(kept.is_empty());
    }
}
