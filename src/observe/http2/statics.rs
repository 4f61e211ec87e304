//! The static table of HPACK (RFC 7541 appendix A), as far as an observer needs it.

/// The names, beginning with index 1.
#[rustfmt::skip]
pub(super) static STATIC_NAMES: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path",
    ":scheme", ":scheme", ":status", ":status", ":status",
    ":status", ":status", ":status", ":status", "accept-charset",
    "accept-encoding", "accept-language", "accept-ranges", "accept", "access-control-allow-origin",
    "age", "allow", "authorization", "cache-control", "content-disposition",
    "content-encoding", "content-language", "content-length", "content-location", "content-range",
    "content-type", "cookie", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "last-modified", "link",
    "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range",
    "referer", "refresh", "retry-after", "server", "set-cookie",
    "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via",
    "www-authenticate",
];

/// The value at an index of the static table; empty where it is that of a field that nobody reads.
pub(super) fn static_value(index: usize) -> Option<&'static str> {
    match index {
        2 => Some("GET"),
        3 => Some("POST"),
        4 => Some("/"),
        5 => Some("/index.html"),
        8 => Some("200"),
        9 => Some("204"),
        10 => Some("206"),
        11 => Some("304"),
        12 => Some("400"),
        13 => Some("404"),
        14 => Some("500"),
        1..=61 => Some(""),
        _ => None,
    }
}
