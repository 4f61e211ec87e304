//! A stand-in for the agent: a raw TLS client that trusts what it is told to trust.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::crypto;
use super::soon;

pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

pub struct Agent {
    config: Arc<ClientConfig>,
}

impl Agent {
    /// An agent that trusts the given roots and offers `alpn`.
    pub fn new(roots_pem: &str, alpn: &[&str]) -> Self {
        Self::with_clock(roots_pem, alpn, Arc::new(DefaultTimeProvider))
    }

    /// The same, for one that believes another clock.
    pub fn with_clock(roots_pem: &str, alpn: &[&str], clock: Arc<dyn TimeProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
            roots.add(root.expect("PEM")).expect("a root");
        }
        let mut config = ClientConfig::builder_with_details(crypto(), clock)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self {
            config: Arc::new(config),
        }
    }

    /// The handshake over a connection that leads to `host`.
    pub async fn handshake(&self, tcp: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        soon(TlsConnector::from(Arc::clone(&self.config)).connect(name, tcp)).await
    }

    /// The bytes of a ClientHello for `host`, and nothing after them.
    pub fn hello(&self, host: &str) -> Vec<u8> {
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        let mut session = ClientConnection::new(Arc::clone(&self.config), name).expect("a session");
        let mut hello = Vec::new();
        session.write_tls(&mut hello).expect("a hello");
        hello
    }
}

/// Asks the CONNECT door for `target`; the connection and the status line's rest of an answer that
/// is not 200.
pub async fn knock(door: SocketAddr, target: &str) -> Result<TcpStream, String> {
    knock_with(door, target, "").await
}

/// The same with further fields, each with its line end.
pub async fn knock_with(door: SocketAddr, target: &str, fields: &str) -> Result<TcpStream, String> {
    let mut tcp = TcpStream::connect(door).await.expect("an open door");
    tcp.set_nodelay(true).expect("TCP_NODELAY");
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n");
    tcp.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = vec![0; ESTABLISHED.len()];
    soon(tcp.read_exact(&mut answer)).await.expect("an answer");
    if answer == ESTABLISHED {
        return Ok(tcp);
    }
    soon(tcp.read_to_end(&mut answer))
        .await
        .expect("the rest of it");
    Err(String::from_utf8(answer).expect("text"))
}
