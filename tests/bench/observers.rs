//! What observing costs: the same relay with the observers of Gravimeter and with one that looks at
//! nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gravimeter::app::Traffic;
use gravimeter::capture::listener::Slots;
use gravimeter::capture::{Door, KernelOriginalDst, Owners, Peers, listener};
use gravimeter::dialect::Observers;
use gravimeter::export::{self, Metrics};
use gravimeter::ledger::Ledger;
use gravimeter::observe::memory::Memory;
use gravimeter::observe::{Alpn, Connection, Direction, End, Observer, OpenObserver};
use gravimeter::record::{
    Caller, ConnectionCaller, FanOut, Host, HostPattern, Models, Record, Sink,
};
use gravimeter::relay::timeouts::Timeouts;
use gravimeter::relay::{self, Shutdown};
use gravimeter::tls::authority::Authority;
use gravimeter::tls::leaf::Leaves;
use gravimeter::tls::upstream::{self, Upstream};
use tokio_util::task::TaskTracker;

use crate::agent::{Agent, drain, request};
use crate::provider::{HOST, Provider, event};
use crate::running::cpu;
use crate::{row, title};

/// Looks at nothing.
struct Blind;

impl OpenObserver for Blind {
    fn open(&self, _: Connection) -> Box<dyn Observer> {
        Box::new(Self)
    }
}

impl Observer for Blind {
    fn read(&mut self, _: Direction, bytes: &[u8], _: Instant) -> usize {
        bytes.len()
    }
    fn half_closed(&mut self, _: Direction, _: Instant) {}
    fn is_between_exchanges(&self) -> bool {
        true
    }
    fn end(&mut self, _: End, _: Instant) {}
}

fn views() -> Arc<dyn Record> {
    let models = Arc::new(Models::default());
    let metrics = Arc::new(Metrics::new(export::Config::default(), Arc::clone(&models)));
    let ledger = Arc::new(Ledger::new(jiff::Timestamp::now(), models));
    let sinks: Vec<Arc<dyn Sink>> = vec![metrics, ledger];
    Arc::new(FanOut(sinks))
}

/// One after the other in turns, so that a machine that grows slower or faster does so for both.
pub async fn run() {
    const TURNS: usize = 6;
    let tasks = TaskTracker::new();
    let provider = Provider::start(&tasks).await;
    let state = tempfile::tempdir().expect("a folder");
    let record = views();
    let observing = Arc::new(Observers {
        record: Arc::clone(&record),
        memory: Memory::default(),
    });
    let paths: [Arc<dyn OpenObserver>; 2] = [Arc::new(Blind), observing];
    let agents = paths.map(|observers| {
        relay(
            &provider,
            observers,
            Arc::clone(&record),
            state.path(),
            &tasks,
        )
    });
    let mut spent = [Spent::default(), Spent::default()];
    for _ in 0..TURNS {
        for (agent, spent) in agents.iter().zip(&mut spent) {
            spent.turn(agent).await;
        }
    }
    title("observers: calls of 20 events, one after the other (all of it in one process)");
    row("", &["p50 us/call", "p99 us/call", "cpu us/call"]);
    for (name, spent) in ["no-op", "observing"].iter().zip(&mut spent) {
        spent.calls.sort_unstable();
        let us = |share: f64| {
            spent.calls[((spent.calls.len() - 1) as f64 * share) as usize]
                .as_micros()
                .to_string()
        };
        let cpu = spent.cpu.as_micros() / spent.calls.len() as u128;
        row(name, &[&us(0.5), &us(0.99), &cpu.to_string()]);
    }
    feed(&record);
}

#[derive(Default)]
struct Spent {
    calls: Vec<Duration>,
    cpu: Duration,
}

impl Spent {
    async fn turn(&mut self, agent: &Agent) {
        let mut sender = agent.h1().await;
        let (start, before) = (Instant::now(), cpu("self"));
        while start.elapsed() < Duration::from_secs(1) {
            let call = Instant::now();
            sender.ready().await.expect("an open connection");
            let answer = sender
                .send_request(request(false, "gemini-2.5-pro", "events=20"))
                .await;
            drain(answer.expect("an answer")).await;
            self.calls.push(call.elapsed());
        }
        self.cpu += cpu("self") - before;
    }
}

/// The observers alone: the bytes of calls, fed as the relay does.
fn feed(record: &Arc<dyn Record>) {
    const CALLS: u32 = 20_000;
    const EVENTS: u32 = 20;
    let observers = Observers {
        record: Arc::clone(record),
        memory: Memory::default(),
    };
    let host = Host::parse(HOST).expect("a host");
    let connection = Connection {
        host,
        alpn: Alpn::Http1,
        opened: Instant::now(),
        opened_at: SystemTime::now(),
        port: 443,
        setup: None,
        caller: ConnectionCaller::default(),
        changes: None,
    };
    let mut observer = observers.open(connection);
    let prompt = format!(
        r#"{{"contents":[{{"role":"user","parts":[{{"text":"{}"}}]}}]}}"#,
        "why ".repeat(1024)
    );
    let head = "POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse HTTP/1.1\r\n";
    let request = format!(
        "{head}Host: {HOST}\r\nContent-Length: {}\r\n\r\n{prompt}",
        prompt.len()
    );
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let event = event();
    let chunk = [format!("{:X}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat();
    let start = Instant::now();
    for _ in 0..CALLS {
        observer.bytes(Direction::ToProvider, request.as_bytes(), Instant::now());
        observer.bytes(Direction::ToAgent, answer.as_bytes(), Instant::now());
        for _ in 0..EVENTS {
            observer.bytes(Direction::ToAgent, &chunk, Instant::now());
        }
        observer.bytes(Direction::ToAgent, b"0\r\n\r\n", Instant::now());
    }
    let call = start.elapsed() / CALLS;
    let event = (call / EVENTS).as_nanos().to_string();
    title("observers alone, fed from memory (4 KiB prompt, 20 events of 300 bytes)");
    row("", &["us/call", "ns/event"]);
    row(
        "observing",
        &[&format!("{:.1}", call.as_secs_f64() * 1e6), &event],
    );
}

/// A relay in this process behind a CONNECT door, and an agent for it.
fn relay(
    provider: &Provider,
    observers: Arc<dyn OpenObserver>,
    record: Arc<dyn Record>,
    state: &Path,
    tasks: &TaskTracker,
) -> Agent {
    let intercept = vec![HostPattern::parse(HOST).expect("a pattern")];
    let (authority, _) =
        Authority::load_or_create(&state.join("ca"), &intercept, SystemTime::now()).expect("a CA");
    let authority = Arc::new(authority);
    let root = state.join("provider.pem");
    std::fs::write(&root, &provider.root_pem).expect("a writable folder");
    let upstream = Upstream::new(
        &upstream::Config {
            extra_roots: vec![root],
        },
        &authority,
    )
    .expect("roots");
    let listener = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let door = listener.local_addr().expect("an address");
    let resolve = [((Host::parse(HOST).expect("a host"), 443), provider.address)].into();
    let traffic = Traffic {
        relay: relay::Config {
            intercept,
            resolve,
            timeouts: Timeouts::default(),
            ..relay::Config::default()
        },
        connect_request: Duration::from_secs(10),
        allow_private_networks: false,
        slots: Arc::new(Slots::new(64)),
        own: vec![door],
        owners: Owners::new([rustix::process::geteuid().as_raw()]),
        peers: Peers::new(Caller::default()),
        upstream: Arc::new(upstream),
        leaves: Arc::new(Leaves::new(Arc::clone(&authority)).expect("a key")),
        original_dst: Arc::new(KernelOriginalDst),
        budgets: None,
        observers,
        rules: tokio::sync::watch::channel(Arc::default()).1,
        bodies: relay::BodyMemory::new(relay::Config::default().max_body_memory),
        record,
    };
    traffic.serve([(Door::Connect, listener)], tasks, &Shutdown::default());
    Agent::new(
        authority.certificate_pem(),
        provider.address,
        Some(door),
        tasks,
    )
}
