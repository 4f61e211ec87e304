//! The agent's ClientHello: enough of it to choose a route, and every byte kept for replay.
mod replay;
use crate::record::Host;
use bytes::{Bytes, BytesMut};
pub use replay::Replay;
use std::io;
use tokio::io::AsyncRead;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub sni: Option<Host>,
    pub alpn: Vec<Vec<u8>>,
}
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    #[error("closed")]
    Closed,
    #[error("io")]
    Io(#[source] io::Error),
    #[error("malformed")]
    Malformed,
    #[error("not TLS")]
    NotTls,
    #[error("too large")]
    TooLarge,
}
pub struct HelloReader {
    kept: BytesMut,
}
impl HelloReader {
    pub fn new(prefix: Bytes) -> Self {
        Self { kept: BytesMut::from(&prefix[..]) }
    }
    pub async fn read<R: AsyncRead + Unpin>(&mut self, _stream: &mut R) -> Result<Hello, HelloError> {
        todo!()
    }
    pub fn bytes(&self) -> &[u8] {
        &self.kept
    }
    pub fn into_bytes(self) -> Bytes {
        self.kept.freeze()
    }
}
