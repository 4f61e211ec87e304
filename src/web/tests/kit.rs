use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::export::Metrics;
use crate::ledger::Ledger;
use crate::record::{Call, Fact, FanOut, Models, Record as _};
use crate::web::access::Access;
use crate::web::{Condition, Config, Live, Readiness, Web};

/// A running server and the handles that feed it.
pub(super) struct Gravimeter {
    pub(super) addr: SocketAddr,
    pub(super) facts: FanOut,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) tracker: TaskTracker,
    pub(super) shutdown: CancellationToken,
    _ended: DropGuard,
}

impl Gravimeter {
    pub(super) async fn open() -> Self {
        Self::with(Config::default()).await
    }

    pub(super) async fn with(config: Config) -> Self {
        Self::behind(config, None).await
    }

    /// One that lets in whom `access` lets in.
    pub(super) async fn behind(config: Config, access: Option<Arc<Access>>) -> Self {
        Self::begun(config, access, "2026-11-01T00:00:00Z").await
    }

    /// One whose ledger began then.
    pub(super) async fn begun(config: Config, access: Option<Arc<Access>>, begun: &str) -> Self {
        let models: Arc<Models> = Arc::default();
        let metrics = Arc::new(Metrics::new(
            crate::export::Config::default(),
            Arc::clone(&models),
        ));
        let started = begun.parse::<Timestamp>().expect("a time");
        let live = Arc::new(Live::new(Arc::clone(&models)));
        let ledger = Arc::new(Ledger::new(started, models));
        let readiness = Readiness::new([Condition::Listening, Condition::Redirect]);
        let facts = FanOut(vec![
            Arc::clone(&metrics) as _,
            Arc::clone(&ledger) as _,
            Arc::clone(&live) as _,
        ]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let web = Web::new(
            config,
            access,
            Arc::clone(&metrics),
            ledger,
            Arc::clone(&readiness),
            live,
        );
        tracker.spawn(web.serve(listener, tracker.clone(), shutdown.clone()));
        let ended = shutdown.clone().drop_guard();
        Self {
            addr,
            facts,
            metrics,
            readiness,
            tracker,
            shutdown,
            _ended: ended,
        }
    }

    pub(super) fn took(&self, call: Call) {
        self.facts.record(Fact::Call(Box::new(call)));
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// One request on a connection of its own, with our `Host` unless the headers name one.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.addr);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = self.connect().await;
        stream
            .write_all(format!("{head}\r\n").as_bytes())
            .await
            .expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        Answer::read(&answer)
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("a connection")
    }
}

/// An answer with lower-case header names. The body is de-chunked where it came in chunks.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .expect("a status");
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        assert!(
            !headers.contains_key("transfer-encoding"),
            "lengths are known here"
        );
        Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(super) fn error_code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }
}
