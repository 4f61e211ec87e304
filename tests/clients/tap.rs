//! A recorder in front of Gravimeter's CONNECT proxy: it ends the client's TLS with a certificate of
//! its own, goes on to Gravimeter as a client that trusts its CA, and keeps what passes.
//!
//! What it keeps is what the client has sent and received, to be compared with what the providers
//! have received and sent ([`crate::provider::Providers::recordings`]).

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::Acceptor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use tokio_util::task::TaskTracker;

use crate::gravimeter;
use crate::pki::{Pki, crypto};
use crate::provider::HOSTS;
use crate::provider::recorded::{Recording, Recordings};
use crate::stage::STATE;

/// Where it listens.
pub(crate) const PROXY: &str = "127.0.0.1:8750";
/// Where its root certificate stands.
pub(crate) const ROOT: &str = "/var/lib/tap-root.pem";

/// The running recorder.
pub(crate) struct Tap {
    recordings: Recordings,
    _runtime: Runtime,
}

impl Tap {
    pub(crate) fn start() -> Self {
        let pki = Pki::new();
        let root_file = pki.write_root("/var/lib".as_ref());
        std::fs::rename(root_file, ROOT).expect("a place for the root");
        let own = std::fs::read(format!("{STATE}/ca/ca.pem")).expect("Gravimeter's CA");
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(&own).expect("PEM");
        roots.add(own).expect("a root");
        let shared = Arc::new(Shared {
            pki,
            roots: roots.into(),
            recordings: Recordings::default(),
        });
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(PROXY)).expect("a port");
        let recordings = shared.recordings.clone();
        let tasks = TaskTracker::new();
        runtime.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let shared = Arc::clone(&shared);
                tasks.spawn(async move { shared.pass(client).await });
            }
        });
        Self {
            recordings,
            _runtime: runtime,
        }
    }

    /// What has passed on every connection that has ended.
    pub(crate) fn recordings(&self) -> &Recordings {
        &self.recordings
    }
}

struct Shared {
    pki: Pki,
    roots: Arc<RootCertStore>,
    recordings: Recordings,
}

impl Shared {
    /// Passes a connection on, in the clear between two TLS sessions where the host is a provider.
    async fn pass(&self, mut client: TcpStream) -> Option<()> {
        let request = head(&mut client).await?;
        let target = request.split(' ').nth(1)?;
        let host = target.rsplit_once(':')?.0.to_owned();
        let mut proxy = TcpStream::connect(gravimeter::PROXY).await.ok()?;
        proxy.write_all(request.as_bytes()).await.ok()?;
        let answer = head(&mut proxy).await?;
        client.write_all(answer.as_bytes()).await.ok()?;
        if !HOSTS.contains(&host.as_str()) {
            copy_bidirectional(&mut client, &mut proxy).await.ok()?;
            return None;
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), client)
            .await
            .ok()?;
        let offered = hello.client_hello().alpn();
        let offered = offered.map(|names| names.map(<[u8]>::to_vec).collect());
        let name = ServerName::try_from(host.clone()).expect("a name");
        let connector = TlsConnector::from(self.client(offered.unwrap_or_default()));
        let upstream = connector
            .connect(name, proxy)
            .await
            .expect("Gravimeter's leaf is trusted");
        let chosen = upstream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let chosen = chosen.map(|name| String::from_utf8(name).expect("a protocol"));
        let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
        let downstream = hello
            .into_stream(self.pki.server_of(&[&host], &chosen))
            .await
            .ok()?;
        let (from_client, to_client) = tokio::io::split(downstream);
        let (from_provider, to_provider) = tokio::io::split(upstream);
        let (up, down) = tokio::join!(
            copy(from_client, to_provider),
            copy(from_provider, to_client)
        );
        self.recordings.add(Recording { host, up, down });
        Some(())
    }

    fn client(&self, alpn: Vec<Vec<u8>>) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = alpn;
        config.resumption = Resumption::disabled();
        config.into()
    }
}

/// Copies one direction to its end and returns what came; a receiver that has gone does not keep
/// the rest from being read.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        all.extend(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_ok() {
            let _ = to.flush().await;
        }
    }
    let _ = to.shutdown().await;
    all
}

/// The head of a message, to its empty line and no further.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

const BUFFER_BYTES: usize = 16 << 10;
