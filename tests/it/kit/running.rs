//! The traffic side of Gravimeter in this process: both doors on port 0, one provider behind them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use gravimeter::app::Traffic;
use gravimeter::capture::listener::Slots;
use gravimeter::capture::{Door, OriginalDst, Owners, Peers, listener};
use gravimeter::record::{Caller, Disposition, Fact, Host, HostPattern};
use gravimeter::relay::base_url::BaseUrlTarget;
use gravimeter::relay::timeouts::Timeouts;
use gravimeter::relay::{self, BodyMemory, Shutdown, Untrusting};
use gravimeter::rules::Rules;
use gravimeter::tls::authority::Authority;
use gravimeter::tls::leaf::Leaves;
use gravimeter::tls::upstream::{self, Upstream};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{client, server};
use tokio_util::task::TaskTracker;

use super::agent::{Agent, knock};
use super::pki::Pki;
use super::provider::Provider;
use super::views::{Facts, Recorder, Seen};
use super::{HOST, OTHER_HOST, soon};

/// What may differ from test to test.
pub struct GravimeterOptions {
    pub timeouts: Timeouts,
    pub connect_request: Duration,
    pub max_connections: usize,
    pub agent_alpn: Vec<&'static str>,
    pub provider_alpn: Vec<&'static str>,
    /// The name in the provider's certificate.
    pub certified: &'static str,
    /// Whether Gravimeter trusts the provider's CA.
    pub trusted: bool,
    /// Dialled in the provider's place.
    pub dial: Option<SocketAddr>,
    /// Whether the observer keeps all bytes.
    pub keep: bool,
    /// What happens to agents that do not trust Gravimeter's CA.
    pub untrusting: Untrusting,
    /// The rules by which requests are changed.
    pub rules: Rules,
    /// The most memory that bodies take which are read for rules, in bytes.
    pub max_body_memory: usize,
    /// Where the base-URL door leads for paths of no provider.
    pub base_url_upstream: Option<BaseUrlTarget>,
}

impl Default for GravimeterOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            connect_request: Duration::from_secs(30),
            max_connections: 64,
            agent_alpn: vec!["http/1.1"],
            provider_alpn: vec!["h2", "http/1.1"],
            certified: HOST,
            trusted: true,
            dial: None,
            keep: true,
            untrusting: Untrusting::default(),
            rules: Rules::default(),
            max_body_memory: relay::Config::default().max_body_memory,
            base_url_upstream: None,
        }
    }
}

pub struct Gravimeter {
    pub connect: SocketAddr,
    pub redirect: SocketAddr,
    pub base_url: SocketAddr,
    pub exporter: SocketAddr,
    pub original: Arc<FakeOriginalDst>,
    pub facts: Arc<Facts>,
    pub provider: Provider,
    pub agent: Agent,
    /// The root of the provider's certificate.
    pub provider_root: String,
    pub shutdown: Shutdown,
    pub tasks: TaskTracker,
    pub busy: Arc<Mutex<bool>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _state: TempDir,
}

impl Gravimeter {
    pub async fn start() -> Self {
        Self::with(GravimeterOptions::default()).await
    }

    pub async fn with(options: GravimeterOptions) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        let provider = Provider::start(pki.server(options.certified, &options.provider_alpn)).await;
        let intercept = vec![HostPattern::parse(HOST).expect("a pattern")];
        let home = state.path().join("ca");
        let (authority, _) =
            Authority::load_or_create(&home, &intercept, SystemTime::now()).expect("a CA");
        let authority = Arc::new(authority);
        let extra_roots = if options.trusted {
            vec![pki.write_root(state.path())]
        } else {
            vec![]
        };
        let upstream = Upstream::new(&upstream::Config { extra_roots }, &authority).expect("roots");
        let facts = Arc::new(Facts::default());
        let (seen, busy) = (Arc::default(), Arc::default());
        let recorder = Recorder {
            keep: options.keep,
            seen: Arc::clone(&seen),
            busy: Arc::clone(&busy),
        };

        let (connect, redirect, base_url) = (listen(), listen(), listen());
        let addresses = (
            connect.local_addr().expect("bound"),
            redirect.local_addr().expect("bound"),
            base_url.local_addr().expect("bound"),
        );
        let exporter = SocketAddr::from(([127, 0, 0, 1], 8741));
        let to = options.dial.unwrap_or(provider.address());
        let resolve = [HOST, OTHER_HOST, options.certified]
            .map(|host| ((Host::parse(host).expect("a host"), 443), to))
            .into();
        let original = Arc::new(FakeOriginalDst::default());
        let traffic = Traffic {
            relay: relay::Config {
                intercept,
                resolve,
                programs: Vec::new(),
                untrusting: options.untrusting,
                base_url_upstream: options.base_url_upstream,
                max_body_memory: options.max_body_memory,
                timeouts: options.timeouts,
            },
            connect_request: options.connect_request,
            allow_private_networks: false,
            slots: Arc::new(Slots::new(options.max_connections)),
            own: vec![addresses.0, addresses.1, addresses.2, exporter],
            owners: Owners::new([rustix::process::geteuid().as_raw()]),
            peers: Peers::new(Caller::default()),
            upstream: Arc::new(upstream),
            leaves: Arc::new(Leaves::new(Arc::clone(&authority)).expect("a key")),
            original_dst: original.clone(),
            budgets: None,
            observers: Arc::new(recorder),
            rules: watch::channel(Arc::new(options.rules)).1,
            bodies: BodyMemory::new(options.max_body_memory),
            record: facts.clone(),
        };
        let (tasks, shutdown) = (TaskTracker::new(), Shutdown::default());
        let listeners = [
            (Door::Connect, connect),
            (Door::Redirect, redirect),
            (Door::BaseUrl, base_url),
        ];
        traffic.serve(listeners, &tasks, &shutdown);
        Self {
            connect: addresses.0,
            redirect: addresses.1,
            base_url: addresses.2,
            exporter,
            original,
            facts,
            provider,
            agent: Agent::new(authority.certificate_pem(), &options.agent_alpn),
            provider_root: pki.root_pem().to_owned(),
            shutdown,
            tasks,
            busy,
            seen,
            _state: state,
        }
    }

    /// A connection through the CONNECT door, before its handshake.
    pub async fn knock(&self, host: &str) -> TcpStream {
        knock(self.connect, &format!("{host}:443"))
            .await
            .expect("an open door")
    }

    /// Both outer ends of one intercepted connection.
    pub async fn pair(&self) -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
        let opened = Fact::ConnectionOpened(Disposition::Intercepted);
        let before = self.facts.count(&opened);
        let tcp = self.knock(HOST).await;
        let (agent, provider) =
            tokio::join!(self.agent.handshake(tcp, HOST), self.provider.accept());
        // In TLS 1.3 the agent is done before Gravimeter is.
        self.facts.wait_until(&opened, before + 1).await;
        (
            agent.expect("the leaf is trusted"),
            provider.expect("the provider is verified"),
        )
    }

    /// What the observer of the latest connection was lent, once that connection has ended.
    pub async fn seen(&self) -> Seen {
        let opened = self
            .facts
            .count(&Fact::ConnectionOpened(Disposition::Intercepted));
        self.facts
            .wait_until(&Fact::ConnectionClosed(Disposition::Intercepted), opened)
            .await;
        self.seen
            .lock()
            .expect("no panic")
            .last()
            .expect("an observed connection")
            .clone()
    }

    /// Ends Gravimeter in order; fails when a connection outlives it.
    pub async fn close(&self) {
        self.shutdown.drain.cancel();
        self.shutdown.force.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

/// Answers what the test says; without an answer, as the kernel does for a connection that was not
/// redirected.
#[derive(Default)]
pub struct FakeOriginalDst(pub Mutex<Option<SocketAddr>>);

impl OriginalDst for FakeOriginalDst {
    fn original_dst(&self, _: &TcpStream) -> io::Result<SocketAddr> {
        let enoent = rustix::io::Errno::NOENT.raw_os_error();
        self.0
            .lock()
            .expect("no panic")
            .ok_or_else(|| io::Error::from_raw_os_error(enoent))
    }
}

fn listen() -> tokio::net::TcpListener {
    listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port")
}
