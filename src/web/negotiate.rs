//! Content negotiation (`Accept`, RFC 9110, section 12.5.1), and whether the client already has the
//! answer (`If-None-Match`, section 13.1.2).

use axum::http::{HeaderMap, header};

use super::metrics::joined;
use crate::export::formats::thousandths;

/// A form of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    Json,
}

impl Form {
    /// The form that the client prefers: the higher weight wins, then the more specific name, then
    /// JSON. JSON is also the answer if neither is asked for.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accept = joined(headers, &header::ACCEPT).unwrap_or_default();
        let wish = |media: &str| {
            accept
                .split(',')
                .filter_map(|range| wish(range, media))
                .max()
        };
        let weight = |media: &str| {
            wish(media)
                .filter(|(_, weight)| *weight > 0)
                .map(|(exactness, weight)| (weight, exactness))
        };
        if weight("text/csv") > weight("application/json") {
            Self::Csv
        } else {
            Self::Json
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
        }
    }
}

/// How specifically a range names the type, and with which weight (in thousandths); `None` where it
/// does not, or is malformed.
fn wish(range: &str, media: &str) -> Option<(u8, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let family = media.split_once('/')?.0;
    let exactness = match name.strip_suffix("/*") {
        Some("*") => 1,
        Some(of) if of == family => 2,
        None if name == media => 3,
        _ => return None,
    };
    let q = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    Some((
        exactness,
        q.map_or(Some(1000), |(_, q)| thousandths(q.trim()))?,
    ))
}

/// Whether one of the client's tags is this one. A weak tag (`W/`) is as good as a strong one here.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = joined(headers, &header::IF_NONE_MATCH).unwrap_or_default();
    known.trim() == "*" || known.split(',').any(|known| opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        for csv in [
            "text/csv",
            "TEXT/CSV; header=present",
            "text/*",
            "text/csv, */*",
            "text/csv;q=0.5, application/json;q=0.4",
            "application/json;q=0, */*",
            "application/json; q=0.2,text/*;Q=0.3",
        ] {
            assert_eq!(Form::of(&with(header::ACCEPT, csv)), Form::Csv, "{csv}");
        }
        for json in [
            "",
            "*/*",
            "application/json",
            "text/html",
            "text/csv, application/json",
            "text/csv;q=0.5, */*",
            "text/csv;q=0",
            "*/*, text/csv;q=0",
            "text/csv;q=2",
            "text/csv;q=0.0001",
            "csv",
        ] {
            assert_eq!(Form::of(&with(header::ACCEPT, json)), Form::Json, "{json}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), Form::Json);
    }

    #[test]
    fn a_tag_is_known_however_it_is_listed() {
        for yes in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(
                is_known(&with(header::IF_NONE_MATCH, yes), "\"a\"")
                    && is_known(&with(header::IF_NONE_MATCH, yes), "W/\"a\""),
                "{yes}"
            );
        }
        for no in ["", "a", "\"b\"", "\"aa\"", "\"*\""] {
            assert!(!is_known(&with(header::IF_NONE_MATCH, no), "\"a\""), "{no}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
