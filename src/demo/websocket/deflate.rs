//! Compression of messages by `permessage-deflate` (RFC 7692): each message goes on with the window
//! of the one before it, as the real ends of these sockets have it.

use std::io::{Result, Write as _};
use std::mem;

use flate2::Compression;
use flate2::write::{DeflateDecoder, DeflateEncoder};
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

/// What the client offers: the server may also tell it to use a smaller window.
pub(in crate::demo) const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// What is agreed on: both ends keep their windows, of the usual size.
pub(in crate::demo) const AGREED: &str = "permessage-deflate";

/// Whether a request offers what can be agreed on. What a client says of its own window is a hint;
/// what it asks of the server's is declined.
pub(in crate::demo) fn is_offered(request: &HeaderMap) -> bool {
    let lines = request.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next() == Some(AGREED) && !parts.any(|part| part.starts_with("server_"))
    })
}

/// Whether a response agrees to the offer. `None` for an extension that was not offered.
pub(in crate::demo) fn is_agreed(response: &HeaderMap) -> Option<bool> {
    match response.get(SEC_WEBSOCKET_EXTENSIONS) {
        None => Some(false),
        Some(value) => (value == AGREED).then_some(true),
    }
}

/// The windows of one end.
pub(super) struct Deflate {
    sent: DeflateEncoder<Vec<u8>>,
    received: DeflateDecoder<Vec<u8>>,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self {
            sent: DeflateEncoder::new(Vec::new(), Compression::default()),
            received: DeflateDecoder::new(Vec::new()),
        }
    }

    /// A message as it is sent.
    pub(super) fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>> {
        if plain.is_empty() {
            return Ok(EMPTY.to_vec());
        }
        self.sent.write_all(plain)?;
        self.sent.flush()?;
        let mut message = mem::take(self.sent.get_mut());
        message.truncate(message.len().saturating_sub(END.len()));
        Ok(message)
    }

    /// A message as it was before.
    pub(super) fn decompress(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        self.received.write_all(message)?;
        self.received.write_all(&END)?;
        self.received.flush()?;
        Ok(mem::take(self.received.get_mut()))
    }
}

/// How a flushed block ends, which is left off each message (RFC 7692 section 7.2.1).
const END: [u8; 4] = [0, 0, 0xff, 0xff];

/// A message without content (RFC 7692 section 7.2.3.6): flushing twice in a row writes nothing.
const EMPTY: [u8; 1] = [0];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn extensions(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn only_what_both_ends_can_do_is_agreed_on() {
        for (lines, expected) in [
            (&[OFFER][..], true),
            (&["permessage-deflate"], true),
            (
                &[
                    "x-other",
                    "a, permessage-deflate; client_max_window_bits=12",
                ],
                true,
            ),
            (
                &["permessage-deflate; server_max_window_bits=9, permessage-deflate"],
                true,
            ),
            (&["permessage-deflate; server_no_context_takeover"], false),
            (&["permessage-deflated"], false),
            (&[], false),
        ] {
            assert_eq!(is_offered(&extensions(lines)), expected, "{lines:?}");
        }
        assert_eq!(is_agreed(&extensions(&[AGREED])), Some(true));
        assert_eq!(is_agreed(&extensions(&[])), Some(false));
        assert_eq!(is_agreed(&extensions(&[OFFER])), None);
    }

    #[test]
    fn a_message_refers_to_those_before_it() {
        let (mut one, mut other) = (Deflate::new(), Deflate::new());
        let texts = ["a text that comes again", "", "a text that comes again"];
        let sent = texts.map(|text| one.compress(text.as_bytes()).unwrap());
        assert!(sent[2].len() < sent[0].len() / 2, "{sent:?}");
        for (text, message) in texts.iter().zip(&sent) {
            assert_eq!(other.decompress(message).unwrap(), text.as_bytes());
        }
        let long = "0123456789abcdef".repeat(10_000);
        let message = one.compress(long.as_bytes()).unwrap();
        assert_eq!(other.decompress(&message).unwrap(), long.as_bytes());
    }
}
