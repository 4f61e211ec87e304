//! Handshakes.
use crate::record::{Handshake, HandshakeFailure};
use rustls::ServerConfig;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    _stream: S,
    _config: Arc<ServerConfig>,
) -> Result<(tokio_rustls::server::TlsStream<S>, Handshake), HandshakeFailure> {
    todo!()
}
pub fn refusal_alert(_reason: HandshakeFailure) -> [u8; 7] {
    todo!()
}
