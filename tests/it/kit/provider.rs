//! A stand-in for the provider: a listening socket, and raw TLS sessions without any HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::soon;

pub struct Provider {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Provider {
    pub async fn start(config: Arc<ServerConfig>) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), config).await
    }

    pub async fn at(address: SocketAddr, config: Arc<ServerConfig>) -> Self {
        Self {
            listener: TcpListener::bind(address).await.expect("a free port"),
            acceptor: config.into(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The next connection, before its handshake.
    pub async fn accept_tcp(&self) -> TcpStream {
        let (tcp, _) = soon(self.listener.accept()).await.expect("a connection");
        tcp.set_nodelay(true).expect("TCP_NODELAY");
        tcp
    }

    /// The next connection, after its handshake.
    pub async fn accept(&self) -> io::Result<TlsStream<TcpStream>> {
        let tcp = self.accept_tcp().await;
        self.handshake(tcp).await
    }

    pub async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        soon(self.acceptor.accept(tcp)).await
    }
}
