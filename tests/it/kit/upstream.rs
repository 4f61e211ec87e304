//! A provider that the program is told to trust, and both ends of connections through the program.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use gravimeter::demo::CLOUD_CODE_HOST;
use rustls::ServerConfig;
use rustls::time_provider::TimeProvider;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::agent::{Agent, knock};
use super::binary::{Binary, resolve};
use super::pki::Pki;
use super::provider::Provider;
use super::{read_some, write_pieces};

pub const REQUEST: &[u8] =
    b"POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}";
/// The answer's head and its first event, without the end of it.
pub const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: {}\r\n";
/// The rest of that event, one that says why the answer stops, and the end of the answer.
pub const LAST: &[u8] =
    b"4\r\n\r\n\r\n\r\n3f\r\ndata: {\"response\":{\"candidates\":[{\"finishReason\":\"STOP\"}]}}\r\n\r\n\r\n0\r\n\r\n";
/// One more event in the middle of an answer.
pub const EVENT: &[u8] = b"8\r\ndata: {}\r\n";

pub type AgentEnd = client::TlsStream<TcpStream>;
pub type ProviderEnd = server::TlsStream<TcpStream>;

pub struct Upstream {
    pub provider: Provider,
    pub config: Arc<ServerConfig>,
    flags: Vec<String>,
    _roots: TempDir,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::speaking(&["http/1.1"]).await
    }

    pub async fn speaking(alpn: &[&str]) -> Self {
        let roots = tempfile::tempdir().expect("a folder");
        fs::set_permissions(roots.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let pki = Pki::new();
        let config = pki.server(CLOUD_CODE_HOST, alpn);
        let provider = Provider::start(Arc::clone(&config)).await;
        let root = pki
            .write_root(roots.path())
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let mut flags = vec!["--upstream.extra_roots".to_owned(), root];
        // The agent of a test has the test's user, whoever runs the program.
        flags.extend([
            "--capture.connect_users".to_owned(),
            rustix::process::geteuid().as_raw().to_string(),
        ]);
        flags.extend(resolve(CLOUD_CODE_HOST, provider.address()));
        Self {
            provider,
            config,
            flags,
            _roots: roots,
        }
    }

    pub fn flags(&self, more: &[&str]) -> Vec<String> {
        self.flags
            .iter()
            .cloned()
            .chain(more.iter().map(|flag| (*flag).to_owned()))
            .collect()
    }

    /// Both ends of a connection through the program.
    pub async fn pair(&self, binary: &Binary) -> (AgentEnd, ProviderEnd) {
        self.pair_of(
            binary.connect,
            &Agent::new(&binary.root_pem(), &["http/1.1"]),
        )
        .await
    }

    /// The same for an agent of the test's choice.
    pub async fn pair_of(&self, door: SocketAddr, agent: &Agent) -> (AgentEnd, ProviderEnd) {
        let tcp = enter(door).await;
        let (agent, provider) = tokio::join!(
            agent.handshake(tcp, CLOUD_CODE_HOST),
            self.provider.accept()
        );
        (
            agent.expect("the leaf is trusted"),
            provider.expect("the provider is verified"),
        )
    }

    /// Both ends of a connection in which an answer has begun.
    pub async fn stream(&self, binary: &Binary) -> (AgentEnd, ProviderEnd) {
        let (mut agent, mut provider) = self.pair(binary).await;
        begin(&mut agent, &mut provider).await;
        (agent, provider)
    }

    /// One call from its first byte to its last.
    pub async fn call(&self, binary: &Binary) {
        let (mut agent, mut provider) = self.stream(binary).await;
        finish(&mut agent, &mut provider).await;
    }
}

/// An agent's clock, so many seconds away from the true one.
#[derive(Debug)]
pub struct Offset(pub i64);

impl TimeProvider for Offset {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let now = rustls_pki_types::UnixTime::now()
            .as_secs()
            .checked_add_signed(self.0)?;
        Some(rustls_pki_types::UnixTime::since_unix_epoch(
            std::time::Duration::from_secs(now),
        ))
    }
}

/// The CONNECT door, opened for the provider.
pub async fn enter(door: SocketAddr) -> TcpStream {
    knock(door, &format!("{CLOUD_CODE_HOST}:443"))
        .await
        .expect("an open door")
}

/// A request, and the beginning of its answer.
pub async fn begin(agent: &mut AgentEnd, provider: &mut ProviderEnd) {
    write_pieces(agent, REQUEST, &[usize::MAX], false).await;
    assert_eq!(read_some(provider, REQUEST.len()).await, REQUEST);
    write_pieces(provider, HEAD, &[usize::MAX], false).await;
    assert_eq!(read_some(agent, HEAD.len()).await, HEAD);
}

/// One event more.
pub async fn go_on(agent: &mut AgentEnd, provider: &mut ProviderEnd) {
    write_pieces(provider, EVENT, &[usize::MAX], false).await;
    assert_eq!(read_some(agent, EVENT.len()).await, EVENT);
}

/// The rest of the answer, and the connection's end.
pub async fn finish(agent: &mut AgentEnd, provider: &mut ProviderEnd) {
    write_pieces(provider, LAST, &[usize::MAX], true).await;
    assert_eq!(
        super::read_all(agent).await.0,
        LAST,
        "served to the last byte"
    );
}
