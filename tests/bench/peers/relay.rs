//! The limit of the method: a transparent relay that terminates TLS on both sides and looks at
//! nothing.
//!
//! It does what no intercepting proxy can leave out: asks the kernel for the destination, waits for
//! the ClientHello, offers the provider the same protocols, verifies it, and shows a leaf of its
//! own with the protocol that was agreed. One leaf per host.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{Acceptor, StoresServerSessions};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use socket2::SockRef;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use tokio_util::task::TaskTracker;

/// The word by which this program becomes the relay: `peers bare-relay ADDRESS FOLDER`.
pub const ROLE: &str = "bare-relay";

/// A TLS record holds at most 16 KiB.
const BUFFER: usize = 16 * 1024;

/// Runs until it is killed.
pub async fn main(arguments: &[String]) {
    let [address, folder] = arguments else {
        panic!("an address and a folder")
    };
    let relay = Arc::new(Relay::new(Path::new(folder)));
    let listener = TcpListener::bind(address).await.expect("a free port");
    let tasks = TaskTracker::new();
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let relay = Arc::clone(&relay);
        // One that fails is the agent's to notice.
        tasks.spawn(async move { relay.carry(tcp).await });
    }
}

/// A server name and the protocol that its provider agreed to.
type Shown = (String, Option<Vec<u8>>);

struct Relay {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    /// The same configuration each time, so that its sessions can be resumed.
    servers: Mutex<HashMap<Shown, Arc<ServerConfig>>>,
    sessions: Arc<dyn StoresServerSessions>,
    /// By the protocols that are offered.
    clients: Mutex<HashMap<Vec<Vec<u8>>, Arc<ClientConfig>>>,
    roots: Arc<RootCertStore>,
}

impl Relay {
    fn new(folder: &Path) -> Self {
        let read = |name: &str| {
            std::fs::read_to_string(folder.join(name)).expect("a file of the benchmark")
        };
        let ca_key = KeyPair::from_pem(&read("ca.key")).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).expect("a CA");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(read("provider.pem").as_bytes()).expect("a root"))
            .expect("a root");
        Self {
            issuer,
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"),
            servers: Mutex::default(),
            sessions: rustls::server::ServerSessionMemoryCache::new(4096),
            clients: Mutex::default(),
            roots: Arc::new(roots),
        }
    }

    async fn carry(&self, agent: TcpStream) -> io::Result<()> {
        agent.set_nodelay(true)?;
        let destination = SockRef::from(&agent)
            .original_dst_v4()?
            .as_socket()
            .ok_or(io::ErrorKind::NotFound)?;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), agent).await?;
        let (host, offered) = {
            let hello = hello.client_hello();
            let offered: Vec<_> = hello
                .alpn()
                .into_iter()
                .flatten()
                .map(<[u8]>::to_vec)
                .collect();
            (hello.server_name().unwrap_or_default().to_owned(), offered)
        };
        let mut provider = self.dial(destination, &host, &offered).await?;
        let agreed = provider.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let mut agent = hello.into_stream(self.server(host, agreed)).await?;
        copy_bidirectional_with_sizes(&mut agent, &mut provider, BUFFER, BUFFER).await?;
        Ok(())
    }

    async fn dial(
        &self,
        destination: SocketAddr,
        host: &str,
        offered: &[Vec<u8>],
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(destination).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.client(offered))
            .connect(name, tcp)
            .await
    }

    fn client(&self, offered: &[Vec<u8>]) -> Arc<ClientConfig> {
        let make = || {
            let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(Arc::clone(&self.roots))
                .with_no_client_auth();
            config.alpn_protocols = offered.to_vec();
            Arc::new(config)
        };
        let mut clients = self.clients.lock().expect("no panic before");
        Arc::clone(clients.entry(offered.to_vec()).or_insert_with(make))
    }

    fn server(&self, host: String, agreed: Option<Vec<u8>>) -> Arc<ServerConfig> {
        let mut servers = self.servers.lock().expect("no panic before");
        let entry = servers.entry((host, agreed));
        let (host, agreed) = entry.key().clone();
        Arc::clone(entry.or_insert_with(|| {
            let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                    self.leaf(host),
                )));
            config.alpn_protocols = agreed.into_iter().collect();
            config.session_storage = Arc::clone(&self.sessions);
            Arc::new(config)
        }))
    }

    fn leaf(&self, host: String) -> CertifiedKey {
        let params = CertificateParams::new([host]).expect("a host");
        let leaf = params.signed_by(&self.key, &self.issuer).expect("a leaf");
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        CertifiedKey::from_der(vec![CertificateDer::from(leaf)], key, &default_provider())
            .expect("a matching pair")
    }
}
