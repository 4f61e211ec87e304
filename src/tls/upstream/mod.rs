//! Upstream.
use super::authority::Authority;
use crate::record::{Handshake, HandshakeFailure, Host};
use std::path::PathBuf;
use tokio::net::TcpStream;
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    pub extra_roots: Vec<PathBuf>,
}
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {}
pub struct Upstream;
impl Upstream {
    pub fn new(_config: &Config, _own: &Authority) -> Result<Self, UpstreamError> {
        todo!()
    }
    pub async fn handshake(
        &self,
        _tcp: TcpStream,
        _host: &Host,
        _alpn: &[Vec<u8>],
    ) -> Result<VerifiedUpstream, HandshakeFailure> {
        todo!()
    }
}
#[derive(Debug)]
pub struct VerifiedUpstream {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    handshake: Handshake,
}
impl VerifiedUpstream {
    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }
    pub fn handshake(&self) -> Handshake {
        self.handshake
    }
    pub fn into_stream(self) -> tokio_rustls::client::TlsStream<TcpStream> {
        self.stream
    }
}
