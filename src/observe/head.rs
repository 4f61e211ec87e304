//! What is taken of a head, the same for both framings: request target, and the header fields on
//! the list.
//!
//! Names and values enter as bytes of the wire; bounded [`RequestHead`] parts and [`Fields`] leave.
//! A field that is not on the list is looked at by name only and never copied.

use super::exchange::{Fields, Listed, RequestHead};
use crate::record::TraceParent;

/// Builds the head of a request from its method and target; the fields come by [`take_field`].
pub(super) fn request(method: &[u8], target: &[u8], listed: Listed) -> RequestHead {
    let (path, query) = split_target(target);
    let is_there = |listed: &&&str| {
        query
            .split(|b| *b == b'&')
            .any(|pair| pair == listed.as_bytes())
    };
    RequestHead {
        method: text(method, MAX_METHOD_BYTES),
        path: bounded_path(path),
        query: listed.query.iter().filter(is_there).copied().collect(),
        fields: Fields::default(),
    }
}

/// Builds the head of a request whose parts are known: its method, its target, and its fields by name
/// and value.
pub(crate) fn request_head<'a>(
    method: &str,
    target: &str,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    listed: Listed,
) -> RequestHead {
    let mut head = request(method.as_bytes(), target.as_bytes(), listed);
    fields.for_each(|(name, value)| take_field(&mut head.fields, name, value, listed));
    head
}

/// What is kept of a path.
pub(super) fn bounded_path(path: &[u8]) -> String {
    text(path, MAX_PATH_BYTES)
}

/// Keeps a header field when it is on the list.
pub(super) fn take_field(fields: &mut Fields, name: &[u8], value: &[u8], listed: Listed) {
    let is = |listed: &str| name.eq_ignore_ascii_case(listed.as_bytes());
    let value = value.trim_ascii();
    if is(CONTENT_TYPE) {
        let essence = value
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        fields.content_type = Some(text(essence, MAX_CONTENT_TYPE_BYTES).to_ascii_lowercase());
    } else if is(CONTENT_ENCODING) {
        take_codings(&mut fields.content_encoding, value);
    } else if is(RETRY_AFTER) {
        fields.retry_after_seconds = decimal(value);
    } else if is(TRACE_PARENT) {
        fields.trace_parent = TraceParent::parse(value);
    } else if let Some(name) = listed.fields.iter().find(|name| is(name))
        && fields.listed.len() < MAX_LISTED_FIELDS
        && is_short_and_visible(value)
    {
        fields.listed.push((name, text(value, MAX_LISTED_BYTES)));
    } else if listed.ending_of(name).is_some()
        && fields.by_ending.len() < MAX_LISTED_FIELDS
        && is_short_and_visible(value)
    {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.by_ending.push((name, text(value, MAX_LISTED_BYTES)));
    } else if let Some((name, reduce)) = listed.reduced.iter().find(|(name, _)| is(name))
        && fields.listed.len() < MAX_LISTED_FIELDS
        && value.len() <= MAX_REDUCED_BYTES
        && let Some(kept) = reduce(value).filter(|kept| kept.len() <= MAX_LISTED_BYTES)
    {
        fields.listed.push((name, kept));
    }
}

fn is_short_and_visible(value: &[u8]) -> bool {
    value.len() <= MAX_LISTED_BYTES && value.iter().all(|byte| (0x20..0x7f).contains(byte))
}

/// Adds the codings that a `content-encoding` lists, as long as there is room for more.
fn take_codings(codings: &mut Vec<String>, value: &[u8]) {
    let room = MAX_CODINGS.saturating_sub(codings.len());
    // A list this long is read as the name of one coding, which is an unknown one: nobody has to
    // look at all its commas.
    let is_list = |b: &u8| *b == b',' && value.len() <= MAX_CODINGS_BYTES;
    let listed = value
        .split(is_list)
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty());
    codings.extend(
        listed
            .take(room)
            .map(|coding| text(coding, MAX_CODING_BYTES).to_ascii_lowercase()),
    );
}

/// A number in the grammar `1*DIGIT` (RFC 9110 section 8.6): no sign, no space, no overflow.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

/// Path and query of a request target in origin or absolute form (RFC 9112 section 3.2). The
/// authority, which may hold a password, is dropped; the authority form of CONNECT therefore has an
/// empty path.
fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let (path, query) = cut(target, b'?');
    if path.starts_with(b"/") || path == b"*" {
        return (path, query);
    }
    let scheme_end = path
        .windows(3)
        .position(|window| window == b"://")
        .map_or(path.len(), |at| at + 3);
    let after_scheme = path.get(scheme_end..).unwrap_or_default();
    let path_start = after_scheme
        .iter()
        .position(|b| *b == b'/')
        .unwrap_or(after_scheme.len());
    (after_scheme.get(path_start..).unwrap_or_default(), query)
}

fn cut(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |b| *b == at);
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

fn text(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned()
}

/// What is taken of any message, in lower case.
pub(super) const COMMON_FIELDS: [&str; 4] =
    [CONTENT_TYPE, CONTENT_ENCODING, RETRY_AFTER, TRACE_PARENT];
const CONTENT_TYPE: &str = "content-type";
const CONTENT_ENCODING: &str = "content-encoding";
const RETRY_AFTER: &str = "retry-after";
const TRACE_PARENT: &str = "traceparent";

/// The longest registered method has 17 letters (`UPDATEREDIRECTREF`).
const MAX_METHOD_BYTES: usize = 32;
/// The longest path of a known provider has some 200 bytes (Vertex AI: project, location,
/// publisher, model); longer ones are cut.
const MAX_PATH_BYTES: usize = 1024;
/// Types have at most 127 bytes on each side of the slash (RFC 6838 section 4.2).
const MAX_CONTENT_TYPE_BYTES: usize = 255;
/// More than one coding is rare; a stack of many is a decompression bomb.
const MAX_CODINGS: usize = 8;
/// A longer name is of no coding that exists; cut, it stays an unknown one.
const MAX_CODING_BYTES: usize = 32;
/// A list of all the codings that are looked at, each with the longest name and a space.
const MAX_CODINGS_BYTES: usize = MAX_CODINGS * (MAX_CODING_BYTES + 2);
/// Identifiers, names of models, and numbers: the longest known are ARNs.
const MAX_LISTED_BYTES: usize = 256;
/// Fields that are structured text: those of agents have a few hundred bytes for each folder that is
/// worked in.
const MAX_REDUCED_BYTES: usize = 16 << 10;
/// Providers send some thirty fields about rate limits.
const MAX_LISTED_FIELDS: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: Listed = Listed {
        fields: &["x-trace-id"],
        endings: &["-limit-name"],
        reduced: &[("x-reduced", |value| {
            value.strip_prefix(b"keep ").map(|_| "kept".to_owned())
        })],
        query: &["alt=sse"],
    };
    const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_the_path_and_the_sse_flag_are_taken_of_a_target() {
        let table: [(&str, &str, bool); 8] = [
            (
                "/v1/models/m:stream?alt=sse&key=SECRET",
                "/v1/models/m:stream",
                true,
            ),
            ("/v1?key=SECRET&alt=sse", "/v1", true),
            ("/v1?alt=json&q=alt=sse", "/v1", false),
            ("/", "/", false),
            ("*", "*", false),
            ("http://user:pw@host:80/a/b?alt=sse", "/a/b", true),
            ("https://host", "", false),
            ("host:443", "", false),
        ];
        for (target, path, alt_sse) in table {
            let head = request(b"POST", target.as_bytes(), LISTED);
            assert_eq!(
                (head.path.as_str(), head.query == ["alt=sse"]),
                (path, alt_sse),
                "{target}"
            );
        }
        assert_eq!(
            request(b"GET", &[b'/'; 5000], LISTED).path.len(),
            MAX_PATH_BYTES
        );
    }

    #[test]
    fn listed_fields_are_normalised_and_bounded_and_others_ignored() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("Content-Type", "Text/Event-Stream; charset=UTF-8"),
            ("content-encoding", "GZIP , br,, "),
            ("Content-Encoding", "zstd"),
            ("RETRY-AFTER", " 17 "),
            ("X-Trace-Id", "8a37738c23d62245"),
            ("TraceParent", TRACED),
            ("X-Some-Limit-Name", "Some"),
            ("Some-Limit-Name", "SECRET"),
            ("x-limit-name-of-some", "SECRET"),
            ("Authorization", "Bearer SECRET"),
            ("Cookie", "SECRET"),
        ] {
            take_field(&mut fields, name.as_bytes(), value.as_bytes(), LISTED);
        }
        let expected = Fields {
            content_type: Some("text/event-stream".into()),
            content_encoding: vec!["gzip".into(), "br".into(), "zstd".into()],
            retry_after_seconds: Some(17),
            trace_parent: TraceParent::parse(TRACED.as_bytes()),
            listed: vec![("x-trace-id", "8a37738c23d62245".into())],
            by_ending: vec![("x-some-limit-name".into(), "Some".into())],
        };
        assert_eq!(fields, expected);
        assert!(fields.trace_parent.is_some());

        take_field(
            &mut fields,
            b"retry-after",
            b"Wed, 21 Oct 2026 07:28:00 GMT",
            LISTED,
        );
        take_field(
            &mut fields,
            b"content-encoding",
            "gzip,".repeat(50).as_bytes(),
            LISTED,
        );
        take_field(&mut fields, b"x-trace-id", &[b'a'; 4096], LISTED);
        take_field(&mut fields, b"x-trace-id", b"\xff", LISTED);
        take_field(&mut fields, b"traceparent", b"00-00-00-00", LISTED);
        assert_eq!(
            (fields.retry_after_seconds, fields.trace_parent),
            (None, None)
        );
        assert_eq!(fields.content_encoding.len(), MAX_CODINGS);
        assert_eq!(fields.get("x-trace-id"), Some("8a37738c23d62245"));
        take_field(&mut fields, b"x-trace-id", b"b", LISTED);
        assert_eq!(fields.get("x-trace-id"), Some("b"), "the last one counts");
        take_field(&mut fields, b"X-Reduced", b"drop SECRET", LISTED);
        assert_eq!(fields.get("x-reduced"), None);
        let long = [b"keep ".as_slice(), &[b'a'; MAX_REDUCED_BYTES]].concat();
        take_field(&mut fields, b"X-Reduced", &long, LISTED);
        assert_eq!(fields.get("x-reduced"), None, "too long");
        take_field(&mut fields, b"X-Reduced", b"keep SECRET", LISTED);
        assert_eq!(fields.get("x-reduced"), Some("kept"));
        for _ in 0..1000 {
            take_field(&mut fields, b"x-trace-id", b"c", LISTED);
            take_field(&mut fields, b"x-other-limit-name", b"c", LISTED);
        }
        assert_eq!(fields.listed.len(), MAX_LISTED_FIELDS);
        assert_eq!(fields.by_ending.len(), MAX_LISTED_FIELDS);
    }

    #[test]
    fn a_list_of_codings_that_is_too_long_to_be_looked_at_is_an_unknown_coding() {
        for long in [
            ",".repeat(MAX_CODINGS_BYTES),
            format!("identity{},gzip", " ".repeat(MAX_CODINGS_BYTES)),
        ] {
            let mut fields = Fields::default();
            take_field(
                &mut fields,
                b"content-encoding",
                format!("{long},").as_bytes(),
                LISTED,
            );
            let names: Vec<_> = fields
                .content_encoding
                .iter()
                .map(|name| name.trim().len())
                .collect();
            assert_eq!(names.len(), 1, "{names:?}");
            assert!(!["identity", "gzip", ""].contains(&fields.content_encoding[0].as_str()));
        }
    }

    #[test]
    fn a_decimal_has_digits_only() {
        assert_eq!(decimal(b"0018446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "+5",
            "-5",
            " 5",
            "5 ",
            "0x5",
            "1e3",
            "18446744073709551616",
            "٣",
        ] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
