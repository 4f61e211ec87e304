//! Reads the agent's ClientHello: enough of it to choose a route, with every byte kept for replay.
//!
//! Input: bytes of the agent; output: a [`Hello`]. Nothing is ever written, and nothing read is
//! lost: whatever the outcome, [`HelloReader::bytes`] holds all that the agent has sent so far.

mod extensions;
#[doc(hidden)]
pub mod fuzz;
mod kind;

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use rustls::server::{Acceptor, ClientHello};
use rustls::{Error, InvalidMessage, PeerMisbehaved};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::record::Host;

pub use kind::ClientKind;

/// What the agent says before the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The host it asks for; `None` when it names none, or something that is no host name (an IP
    /// address, for one).
    pub sni: Option<Host>,
    /// The application protocols it offers, in its order (`h2`, `http/1.1`).
    pub alpn: Vec<Vec<u8>>,
    /// Whether it has an `encrypted_client_hello` extension (RFC 9849). Many clients send one that
    /// hides nothing, so that those that do stand out less; the two cannot be told apart.
    /// [`Hello::sni`] is then the outer name.
    pub has_encrypted_hello: bool,
    /// What kind of client it comes from.
    pub client: ClientKind,
}

/// Why there is no ClientHello.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The agent closed the connection first.
    #[error("the agent closed the connection before its ClientHello was complete")]
    Closed,
    /// Reading failed.
    #[error("cannot read the agent's ClientHello: {0}")]
    Io(#[source] io::Error),
    /// It begins like TLS, but is no ClientHello.
    #[error("the agent sent a malformed ClientHello")]
    Malformed,
    /// The first bytes rule TLS out.
    #[error("the agent does not speak TLS on this connection")]
    NotTls,
    /// It is longer than any real one.
    #[error("the agent's ClientHello is longer than {MAX_HELLO} bytes")]
    TooLarge,
}

/// Reads a ClientHello from a stream and keeps every byte.
pub struct HelloReader {
    kept: BytesMut,
    /// How many of the kept bytes the parser has seen.
    parsed: usize,
    parser: Acceptor,
}

impl HelloReader {
    /// A reader that begins with bytes that were read before.
    #[must_use]
    pub fn new(prefix: Bytes) -> Self {
        Self {
            kept: prefix.into(),
            parsed: 0,
            parser: Acceptor::default(),
        }
    }

    /// Reads until the ClientHello is complete; may read beyond it. Cancel-safe: called again, it
    /// continues. After it has returned a result, only the bytes are of use.
    ///
    /// # Errors
    /// See [`HelloError`]; [`HelloError::NotTls`] comes with the first byte that rules TLS out.
    pub async fn read<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
    ) -> Result<Hello, HelloError> {
        loop {
            if let Some(hello) = self.parse()? {
                return Ok(hello);
            }
            let room = MAX_HELLO.saturating_sub(self.kept.len());
            if room == 0 {
                return Err(HelloError::TooLarge);
            }
            let mut limited = (&mut self.kept).limit(room);
            if stream
                .read_buf(&mut limited)
                .await
                .map_err(HelloError::Io)?
                == 0
            {
                return Err(HelloError::Closed);
            }
        }
    }

    /// All bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.kept
    }

    /// All bytes read, for a `ReadAhead`.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.kept.freeze()
    }

    /// Parses the new bytes; `None` when more are needed.
    fn parse(&mut self) -> Result<Option<Hello>, HelloError> {
        if !may_be_tls(&self.kept) {
            return Err(HelloError::NotTls);
        }
        while let Some(mut new @ [_, ..]) = self.kept.get(self.parsed..) {
            // Reading from memory fails only when the parser's own buffer is full.
            self.parsed += self
                .parser
                .read_tls(&mut new)
                .map_err(|_| HelloError::TooLarge)?;
            match self.parser.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(Some(self.read_hello(&accepted.client_hello()))),
                Err((error, _)) => return self.refused(&error).map(Some),
            }
        }
        Ok(None)
    }

    fn read_hello(&self, hello: &ClientHello<'_>) -> Hello {
        let sni = hello.server_name().and_then(|name| Host::parse(name).ok());
        let alpn = hello
            .alpn()
            .map(|names| names.map(<[u8]>::to_vec).collect());
        Hello {
            sni,
            alpn: alpn.unwrap_or_default(),
            has_encrypted_hello: self.has_encrypted_hello(),
            client: ClientKind::of(hello),
        }
    }

    fn refused(&self, error: &Error) -> Result<Hello, HelloError> {
        match error {
            // Well-formed except for its server name, which counts as absent.
            Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => Ok(Hello {
                sni: None,
                alpn: Vec::new(),
                has_encrypted_hello: self.has_encrypted_hello(),
                client: ClientKind::UNKNOWN,
            }),
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
                Err(HelloError::TooLarge)
            }
            _ => Err(HelloError::Malformed),
        }
    }

    fn has_encrypted_hello(&self) -> bool {
        extensions::has(&self.kept, extensions::ENCRYPTED_CLIENT_HELLO)
    }
}

/// A hello of 16 KiB is the longest in the wild (post-quantum key shares, many extensions); four
/// times that stops a flood.
const MAX_HELLO: usize = 64 * 1024;

/// Whether the bytes can begin a handshake record (22, version 3.x) with a ClientHello (1) in it:
/// RFC 8446 section 5.1. That rules out SSLv2, plain HTTP, SSH and all that speaks text.
fn may_be_tls(start: &[u8]) -> bool {
    const SHAPE: [Option<u8>; 6] = [Some(22), Some(3), None, None, None, Some(1)];
    start
        .iter()
        .zip(SHAPE)
        .all(|(byte, expected)| expected.is_none_or(|expected| *byte == expected))
}

#[cfg(test)]
mod tests;
