//! The header fields that a rule must not touch, and the requests that it must not touch.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, header};

/// Why a rule must not set or remove this field; `None` if it may.
pub(super) fn is_refused(name: &HeaderName) -> Option<&'static str> {
    let text = name.as_str();
    if FRAMING.contains(&text) {
        return Some("it belongs to the connection or the body, and is written by Gravimeter");
    }
    let is_credential =
        CREDENTIALS.iter().any(|part| text.contains(part)) || text.starts_with("x-amz-");
    is_credential.then_some("its name is that of a credential, which no rule may set or remove")
}

/// Whether the request is signed over parts that a rule could change: by AWS Signature Version 4, in
/// a field or in the query, by HTTP Message Signatures (RFC 9421), or with a digest of its body.
pub(super) fn is_signed(headers: &HeaderMap, target: &PathAndQuery) -> bool {
    let authorization = headers.get_all(header::AUTHORIZATION).iter();
    let by_field = authorization
        .map(http::HeaderValue::as_bytes)
        .any(|value| value.trim_ascii_start().starts_with(b"AWS4-"));
    let by_query = target.query().is_some_and(|query| {
        let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
        names.any(|name| name.eq_ignore_ascii_case("X-Amz-Signature"))
    });
    let by_digest = DIGESTS.iter().any(|name| headers.contains_key(*name));
    by_field || by_query || by_digest
}

/// Fields that frame a message, or belong to one connection (RFC 9110 section 7.6.1).
const FRAMING: [&str; 17] = [
    "connection",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-md5",
    "digest",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "repr-digest",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// What is in the names of fields that hold credentials. A name that only looks like one is refused
/// as well.
const CREDENTIALS: [&str; 10] = [
    "apikey",
    "api-key",
    "auth",
    "cookie",
    "credential",
    "goog-api",
    "passw",
    "secret",
    "signature",
    "token",
];

/// Fields over the body or the head, made by whoever knows it.
const DIGESTS: [&str; 6] = [
    "content-digest",
    "content-md5",
    "digest",
    "repr-digest",
    "signature",
    "signature-input",
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn credentials_and_framing_are_refused() {
        for name in [
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "cookie",
            "x-amz-security-token",
            "x-amz-date",
            "x-session-token",
            "content-length",
            "transfer-encoding",
            "host",
        ] {
            assert!(
                is_refused(&HeaderName::from_static(name)).is_some(),
                "{name}"
            );
        }
        for name in ["x-title", "http-referer", "anthropic-beta", "user-agent"] {
            assert_eq!(is_refused(&HeaderName::from_static(name)), None, "{name}");
        }
    }

    #[test]
    fn signatures_are_seen_in_fields_and_in_the_query() {
        let plain: PathAndQuery = "/a?b=c".parse().expect("a target");
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            is_signed(&headers, &plain)
        };
        assert!(with("authorization", "AWS4-HMAC-SHA256 Credential=x"));
        assert!(with("content-digest", "sha-256=:x:"));
        assert!(!with("authorization", "Bearer AWS4-HMAC"));
        let query: PathAndQuery = "/a?x-amz-signature=b".parse().expect("a target");
        assert!(is_signed(&HeaderMap::new(), &query));
        assert!(!is_signed(&HeaderMap::new(), &plain));
    }
}
