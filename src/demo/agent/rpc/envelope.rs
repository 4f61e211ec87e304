//! Messages of a stream on the wire: one byte of flags, four of length, the payload. Connect and
//! gRPC share the frame and the flag for gzip; Connect ends a stream with a frame, gRPC with
//! trailers.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue};
use hyper::body::Frame;
use serde_json::json;

use super::fault::Fault;

/// How messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `application/connect+json` or `+proto`.
    Connect { gzip: bool },
    /// `application/grpc`
    Grpc { gzip: bool },
}

impl Framing {
    /// A message; gzip where it is allowed and of use.
    pub(super) fn message(self, payload: &[u8]) -> Bytes {
        let (Self::Connect { gzip: allowed } | Self::Grpc { gzip: allowed }) = self;
        match allowed && payload.len() >= WORTH_CODING {
            true => envelope(CODED, &gzip(payload)),
            false => envelope(0, payload),
        }
    }

    /// The end of the stream.
    pub(super) fn end(self, fault: Option<Fault>) -> Frame<Bytes> {
        match self {
            Self::Connect { .. } => {
                let document = fault.map_or(json!({}), |fault| json!({"error": fault.document()}));
                Frame::data(envelope(END, document.to_string().as_bytes()))
            }
            Self::Grpc { .. } => Frame::trailers(status(fault)),
        }
    }
}

/// The gRPC status of the end.
pub(super) fn status(fault: Option<Fault>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let number = fault.map_or(0, |fault| fault.code.number());
    fields.insert("grpc-status", HeaderValue::from(u16::from(number)));
    if let Some(fault) = fault {
        fields.insert("grpc-message", HeaderValue::from_static(fault.message));
    }
    fields
}

/// The payload of the first message in a request; `None` when it is not whole or cannot be decoded.
pub(super) fn open(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&flags, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_be_bytes(*length) as usize)?;
    match flags & CODED {
        0 => Some(payload.to_vec()),
        _ => gunzip(payload),
    }
}

/// Bytes as one gzip stream.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into a Vec does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes)
        .take(REQUEST_LIMIT)
        .read_to_end(&mut plain)
        .ok()?;
    Some(plain)
}

fn envelope(flags: u8, payload: &[u8]) -> Bytes {
    // Nothing here comes near four gigabytes.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&[flags], length.to_be_bytes().as_slice(), payload]
        .concat()
        .into()
}

/// The payload is gzip.
const CODED: u8 = 0x01;
/// Connect: the payload is the end of the stream.
const END: u8 = 0x02;
/// Smaller payloads go out as they are, as from a Go server; so both kinds are in one stream.
const WORTH_CODING: usize = 256;
/// A request names an id or two.
const REQUEST_LIMIT: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_flags_length_and_payload() {
        let plain = Framing::Connect { gzip: true }.message(b"abc");
        assert_eq!(&plain[..], b"\0\0\0\0\x03abc");
        let long = [b'a'; WORTH_CODING];
        let coded = Framing::Grpc { gzip: true }.message(&long);
        assert_eq!((coded[0], coded.len() < long.len()), (1, true));
        assert_eq!(open(&coded).unwrap(), long);
        assert_eq!(
            Framing::Grpc { gzip: false }.message(&long).len(),
            5 + long.len()
        );
    }

    #[test]
    fn a_request_that_is_not_whole_is_none() {
        assert_eq!(open(b"\0\0\0\0\x03abcd").unwrap(), b"abc");
        for broken in [
            &b""[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x03ab",
            b"\x01\0\0\0\x03abc",
        ] {
            assert_eq!(open(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn an_end_says_why() {
        let end = Framing::Connect { gzip: false }
            .end(Some(Fault::DISABLED))
            .into_data()
            .unwrap();
        assert_eq!(end[0], 2);
        assert_eq!(
            &end[5..],
            br#"{"error":{"code":"unknown","message":"reactive state is disabled"}}"#
        );
        assert_eq!(
            &Framing::Connect { gzip: false }
                .end(None)
                .into_data()
                .unwrap()[..],
            b"\x02\0\0\0\x02{}"
        );
        let trailers = Framing::Grpc { gzip: false }
            .end(Some(Fault::NO_TOKEN))
            .into_trailers()
            .unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (
                &"16".parse().unwrap(),
                &"missing CSRF token".parse().unwrap()
            )
        );
    }
}
