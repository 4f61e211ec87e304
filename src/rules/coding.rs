//! Takes the content coding off the body of a request, and puts it on again.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

use crate::observe::coding::{CodingError, Decoder};
use crate::observe::memory::Memory;

/// Why a body has no text that a rule could change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not text in a coding that is read.
    Coded,
    /// It has more than so many bytes when it is decompressed.
    TooLarge,
}

/// The text of a body, of at most so many bytes.
pub(crate) fn decode(headers: &HeaderMap, body: &[u8], limit: usize) -> Result<String, Unreadable> {
    let mut decoder =
        Decoder::new(&codings(headers), &Memory::default()).map_err(|_| Unreadable::Coded)?;
    let mut plain = Vec::new();
    let mut is_too_large = false;
    let decoded = decoder.feed(body, &mut |piece| {
        is_too_large |= plain.len() + piece.len() > limit;
        if !is_too_large {
            plain.extend_from_slice(piece);
        }
    });
    if is_too_large {
        return Err(Unreadable::TooLarge);
    }
    match decoded {
        // What unpacks to more than any request has is too large, whatever the limit.
        Err(CodingError::Budget | CodingError::Memory) => Err(Unreadable::TooLarge),
        Ok(()) if decoder.is_complete() => String::from_utf8(plain).map_err(|_| Unreadable::Coded),
        _ => Err(Unreadable::Coded),
    }
}

/// The body with this text, coded as the one before was if that was gzip or zstd alone, else without
/// coding. The fields that describe the body are set.
pub(super) fn encode(headers: &mut HeaderMap, text: String) -> Bytes {
    let codings = codings(headers);
    let coded = match codings.as_slice() {
        [coding] if coding == "gzip" || coding == "x-gzip" => gzip(&text),
        [coding] if coding == "zstd" => zstd::encode_all(text.as_bytes(), ZSTD_LEVEL).ok(),
        _ => None,
    };
    let body = coded.map_or_else(
        || {
            headers.remove(CONTENT_ENCODING);
            Bytes::from(text)
        },
        Bytes::from,
    );
    headers.remove(TRANSFER_ENCODING);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    body
}

fn gzip(text: &str) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// The codings in the order in which they were applied, in lower case.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty())
        .collect()
}

/// What agents that compress their requests use.
const ZSTD_LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(coding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !coding.is_empty() {
            headers.insert(CONTENT_ENCODING, coding.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_body_comes_back_in_its_coding_and_others_plain() {
        let text = "{\"a\":1}".repeat(100);
        let brotli = {
            let mut bytes = Vec::new();
            let mut writer = brotli::CompressorWriter::new(&mut bytes, 4096, 5, 20);
            writer.write_all(text.as_bytes()).expect("memory");
            drop(writer);
            bytes
        };
        for (coding, body, after) in [
            ("", text.clone().into_bytes(), None),
            ("gzip", gzip(&text).expect("memory"), Some("gzip")),
            (
                "zstd",
                zstd::encode_all(text.as_bytes(), 3).expect("memory"),
                Some("zstd"),
            ),
            ("br", brotli, None),
        ] {
            let mut headers = coded(coding);
            assert_eq!(
                decode(&headers, &body, text.len()),
                Ok(text.clone()),
                "{coding}"
            );
            assert_eq!(
                decode(&headers, &body, text.len() - 1),
                Err(Unreadable::TooLarge),
                "{coding}"
            );
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            let again = encode(&mut headers, text.clone());
            let is = headers
                .get(CONTENT_ENCODING)
                .map(|value| value.to_str().expect("text"));
            assert_eq!(is, after, "{coding}");
            assert_eq!(headers[CONTENT_LENGTH], again.len().to_string(), "{coding}");
            assert!(!headers.contains_key(TRANSFER_ENCODING));
            assert_eq!(
                decode(&headers, &again, text.len()),
                Ok(text.clone()),
                "{coding}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_so() {
        let cut = gzip("{}").expect("memory");
        for (coding, body) in [
            ("gzip", &cut[..cut.len() - 1]),
            ("gzip", b"{}".as_slice()),
            ("compress", b"{}"),
            ("", b"\xff"),
        ] {
            assert_eq!(
                decode(&coded(coding), body, 100),
                Err(Unreadable::Coded),
                "{coding}"
            );
        }
    }
}
