//! The WebSockets of the demo, from the upgrade of HTTP/1.1 on (RFC 6455): text messages alone, each
//! a JSON document, compressed where both ends agree on it.

mod deflate;

use std::io::{self, Cursor};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

pub(super) use deflate::{AGREED, OFFER, is_agreed, is_offered};
pub(super) use tungstenite::Error;
pub(super) use tungstenite::protocol::Role;

use super::digest::sha1;
use deflate::Deflate;

/// An open WebSocket.
pub(super) struct Socket<S> {
    stream: S,
    role: Role,
    /// What was received and not read yet.
    received: BytesMut,
    /// Where compression was agreed on.
    deflate: Option<Deflate>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// The end of this role on a connection that has left HTTP.
    pub(super) fn new(stream: S, role: Role, is_deflated: bool) -> Self {
        Self {
            stream,
            role,
            received: BytesMut::new(),
            deflate: is_deflated.then(Deflate::new),
        }
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, text: String) -> Result<(), Error> {
        let payload = match &mut self.deflate {
            Some(deflate) => deflate.compress(text.as_bytes())?,
            None => text.into_bytes(),
        };
        let header = FrameHeader {
            rsv1: self.deflate.is_some(),
            opcode: OpCode::Data(Data::Text),
            ..FrameHeader::default()
        };
        self.write(header, payload.into()).await
    }

    /// The next message; `None` once the other end has closed the socket or gone.
    pub(super) async fn next(&mut self) -> Option<Result<String, Error>> {
        self.message().await.transpose()
    }

    /// Says goodbye. The other end may have gone already.
    pub(super) async fn close(mut self) {
        let _ = self.control(Control::Close, Bytes::new()).await;
    }

    async fn message(&mut self) -> Result<Option<String>, Error> {
        let (mut message, mut is_compressed) = (BytesMut::new(), false);
        loop {
            let Some((header, payload)) = self.frame().await? else {
                return Ok(None);
            };
            match header.opcode {
                OpCode::Control(Control::Close) => {
                    // It may not wait for the answer.
                    let _ = self.control(Control::Close, payload.freeze()).await;
                    return Ok(None);
                }
                OpCode::Control(Control::Ping) => {
                    self.control(Control::Pong, payload.freeze()).await?;
                }
                OpCode::Control(_) => {}
                OpCode::Data(_) => {
                    is_compressed |= header.rsv1;
                    message.unsplit(payload);
                    if header.is_final {
                        break;
                    }
                }
            }
        }
        let message = match &mut self.deflate {
            Some(deflate) if is_compressed => deflate.decompress(&message)?,
            None if is_compressed => return Err(ProtocolError::NonZeroReservedBits.into()),
            _ => message.to_vec(),
        };
        let text = String::from_utf8(message);
        text.map(Some)
            .map_err(|error| Error::Utf8(error.to_string()))
    }

    /// The next frame, unmasked; `None` where the connection ends before one.
    async fn frame(&mut self) -> Result<Option<(FrameHeader, BytesMut)>, Error> {
        loop {
            let mut cursor = Cursor::new(&self.received);
            if let Some((header, length)) = FrameHeader::parse(&mut cursor)? {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > MAX_FRAME {
                    let (size, max_size) = (length, MAX_FRAME);
                    return Err(CapacityError::MessageTooLong { size, max_size }.into());
                }
                let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
                if self.received.len() - start >= length {
                    self.received.advance(start);
                    let mut payload = self.received.split_to(length);
                    let mask = header.mask.unwrap_or_default();
                    let pairs = payload.iter_mut().zip(mask.iter().cycle());
                    pairs.for_each(|(byte, mask)| *byte ^= mask);
                    return Ok(Some((header, payload)));
                }
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return match self.received.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }

    async fn control(&mut self, control: Control, payload: Bytes) -> Result<(), Error> {
        let header = FrameHeader {
            opcode: OpCode::Control(control),
            ..FrameHeader::default()
        };
        self.write(header, payload).await
    }

    async fn write(&mut self, header: FrameHeader, payload: Bytes) -> Result<(), Error> {
        let header = FrameHeader {
            mask: (self.role == Role::Client).then(rand::random),
            ..header
        };
        let mut bytes = Vec::new();
        Frame::from_payload(header, payload).format(&mut bytes)?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

/// The longest frame that is read: a request of Codex has some megabytes at most.
const MAX_FRAME: usize = 64 << 20;

/// What the server answers to the key of the client (RFC 6455 section 4.2.2).
pub(super) fn accept(key: &str) -> String {
    STANDARD.encode(sha1(format!("{key}{GUID}").as_bytes()))
}

/// A key of the client.
pub(super) fn key(nonce: u128) -> String {
    STANDARD.encode(nonce.to_be_bytes())
}

/// Puts the hash of all texts before it into the last one, by which the client proves that they
/// arrived as they were sent.
pub(super) fn seal(last: &mut Value, before: &str) {
    if let Some(members) = last.as_object_mut() {
        members.insert(
            HASH.to_owned(),
            super::digest::sha256(before.as_bytes()).into(),
        );
    }
}

/// Whether the last text has the hash of all before it.
pub(super) fn is_sealed(last: &Value, before: &str) -> bool {
    last.get(HASH).and_then(Value::as_str)
        == Some(super::digest::sha256(before.as_bytes()).as_str())
}

/// The fixed text of RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The member that carries the hash.
const HASH: &str = "demo_sha256";

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// Both ends of a socket.
    fn ends(is_deflated: bool) -> [Socket<tokio::io::DuplexStream>; 2] {
        let (client, server) = duplex(1 << 20);
        [
            Socket::new(client, Role::Client, is_deflated),
            Socket::new(server, Role::Server, is_deflated),
        ]
    }

    #[tokio::test]
    async fn messages_arrive_as_they_were_sent() {
        for is_deflated in [false, true] {
            let [mut client, mut server] = ends(is_deflated);
            let texts = ["", "{}", "gravité", &"a long text, ".repeat(9_000), "{}"];
            for text in texts {
                client.send(text.to_owned()).await.unwrap();
                let came = server.next().await.unwrap().unwrap();
                assert!(came == text, "{is_deflated}: {came}");
                server.send(came).await.unwrap();
                assert!(client.next().await.unwrap().unwrap() == text);
            }
            client.close().await;
            assert!(server.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn the_client_masks_and_both_ends_mark_what_they_compress() {
        let text = "a long text, ".repeat(100);
        for (role, is_deflated, first, masked) in [
            (Role::Client, false, 0x81, 0x80),
            (Role::Server, false, 0x81, 0),
            (Role::Client, true, 0xc1, 0x80),
            (Role::Server, true, 0xc1, 0),
        ] {
            let (own, mut wire) = duplex(1 << 20);
            let mut socket = Socket::new(own, role, is_deflated);
            socket.send(text.clone()).await.unwrap();
            drop(socket);
            let mut bytes = Vec::new();
            wire.read_to_end(&mut bytes).await.unwrap();
            assert_eq!((bytes[0], bytes[1] & 0x80), (first, masked));
            assert_eq!(bytes.len() < text.len() / 4, is_deflated);
        }
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_an_error_and_a_ping_is_answered() {
        let read = async |is_deflated: bool, bytes: &[u8]| {
            let (own, mut wire) = duplex(1 << 20);
            wire.write_all(bytes).await.unwrap();
            wire.shutdown().await.unwrap();
            let mut socket = Socket::new(own, Role::Client, is_deflated);
            let next = socket.next().await.map(|text| text.ok());
            drop(socket);
            let mut answer = Vec::new();
            wire.read_to_end(&mut answer).await.unwrap();
            (next, answer.first().copied())
        };
        let pinged = b"\x01\x03abc\x89\x02hi\x80\x01d";
        let expected = (Some(Some("abcd".to_owned())), Some(0x8a));
        assert_eq!(read(false, pinged).await, expected);
        assert_eq!(read(false, b"\xc1\x01a").await, (Some(None), None));
        assert_eq!(read(true, b"\xc1\x02\xff\xff").await, (Some(None), None));
        assert_eq!(read(false, b"\x81\x01\xff").await, (Some(None), None));
        assert_eq!(read(false, b"\x81\x09cut").await, (Some(None), None));
        let endless = b"\x81\x7f\x00\x00\x00\xff\x00\x00\x00\x00";
        assert_eq!(read(false, endless).await, (Some(None), None));
        assert_eq!(read(false, b"").await, (None, None));
    }

    #[test]
    fn a_key_is_answered_as_the_standard_says() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn what_was_changed_on_the_way_breaks_the_seal() {
        let mut last = serde_json::json!({"type": "response.completed"});
        seal(&mut last, "one two");
        assert!(is_sealed(&last, "one two"));
        assert!(!is_sealed(&last, "one too"));
        assert!(!is_sealed(&serde_json::json!({}), ""));
    }
}
