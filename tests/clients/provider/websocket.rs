//! The provider's end of a WebSocket (RFC 6455), with `permessage-deflate` in which each message
//! goes on with the window of the one before it (RFC 7692).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The extension, without parameters: both ends keep their windows.
pub(super) const DEFLATE: &str = "permessage-deflate";

/// What the provider says to the key of the client (RFC 6455, 4.2.2).
pub(super) fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    ))
}

/// An open socket.
pub(super) struct Socket<S> {
    stream: S,
    windows: Option<(Decompress, Compress)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(stream: S, is_deflated: bool) -> Self {
        let windows = || {
            (
                Decompress::new(false),
                Compress::new(Compression::default(), false),
            )
        };
        Self {
            stream,
            windows: is_deflated.then(windows),
        }
    }

    pub(super) fn is_deflated(&self) -> bool {
        self.windows.is_some()
    }

    /// The next message of the client; `None` once it has closed the socket or gone.
    pub(super) async fn next(&mut self) -> Option<String> {
        let mut message = Vec::new();
        let mut is_deflated = false;
        loop {
            let [first, second] = self.read().await?;
            assert!(second & MASKED != 0, "a client masks what it sends");
            let length = match second & !MASKED {
                126 => u64::from(u16::from_be_bytes(self.read().await?)),
                127 => u64::from_be_bytes(self.read().await?),
                short => u64::from(short),
            };
            let mask: [u8; 4] = self.read().await?;
            let mut payload = vec![0; usize::try_from(length).expect("a message for memory")];
            self.stream.read_exact(&mut payload).await.ok()?;
            for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= mask;
            }
            match first & OPCODE {
                CLOSE => {
                    self.frame(FINAL | CLOSE, &payload).await;
                    return None;
                }
                PING => self.frame(FINAL | PONG, &payload).await,
                PONG => {}
                _ => {
                    is_deflated |= first & COMPRESSED != 0;
                    message.extend(payload);
                    if first & FINAL != 0 {
                        break;
                    }
                }
            }
        }
        let message = match &mut self.windows {
            Some((inflate, _)) if is_deflated => inflated(inflate, &message),
            _ => message,
        };
        Some(String::from_utf8(message).expect("a message of text"))
    }

    /// Sends a message in two frames, with a ping between them.
    pub(super) async fn send(&mut self, text: &str) {
        let (payload, flag) = match &mut self.windows {
            Some((_, deflate)) => (deflated(deflate, text.as_bytes()), COMPRESSED),
            None => (text.as_bytes().to_vec(), 0),
        };
        let (one, other) = payload.split_at(payload.len() / 2);
        self.frame(flag | TEXT, one).await;
        self.frame(FINAL | PING, b"still here?").await;
        self.frame(FINAL | CONTINUATION, other).await;
    }

    async fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(length as u8),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        // A client that has gone is seen by the next read.
        let _ = self.stream.write_all(&frame).await;
        let _ = self.stream.flush().await;
    }

    async fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(bytes)
    }
}

/// A message of the client without its compression; RFC 7692 leaves off how each one ends.
fn inflated(window: &mut Decompress, message: &[u8]) -> Vec<u8> {
    let input = [message, END_OF_MESSAGE].concat();
    let (before, mut text) = (window.total_in(), Vec::new());
    loop {
        text.reserve(BUFFER_BYTES);
        let read = (window.total_in() - before) as usize;
        window
            .decompress_vec(&input[read..], &mut text, FlushDecompress::Sync)
            .expect("deflate of the client");
        let is_read = window.total_in() - before == input.len() as u64;
        // A full buffer may have left something behind.
        if is_read && text.len() < text.capacity() {
            return text;
        }
    }
}

fn deflated(window: &mut Compress, text: &[u8]) -> Vec<u8> {
    // More than deflate can add to what it cannot compress.
    let mut message = Vec::with_capacity(text.len() * 2 + BUFFER_BYTES);
    window
        .compress_vec(text, &mut message, FlushCompress::Sync)
        .expect("memory");
    assert!(message.ends_with(END_OF_MESSAGE), "flushed");
    message.truncate(message.len() - END_OF_MESSAGE.len());
    message
}

const END_OF_MESSAGE: &[u8] = &[0, 0, 0xff, 0xff];
const BUFFER_BYTES: usize = 4096;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
