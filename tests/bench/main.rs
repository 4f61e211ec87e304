//! Benchmarks: the same agent and provider on loopback, once straight and once through Gravimeter.
//! Asserts nothing on time.
//!
//! `scripts/bench.sh [delay|memory|calls|download|scrape|observers|statusline|traces|ledger|run]... [--full]`;
//! docs/performance.md says what the figures mean. `peers`, beside other proxies and in a network
//! namespace, runs only when it is named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a benchmark has no readers from outside"
)]

mod agent;
mod calls;
mod delay;
mod formats;
mod ledger;
mod memory;
mod observers;
mod peers;
mod provider;
mod run;
mod running;
#[path = "../skip.rs"]
mod skip;
mod statusline;
mod traces;

use agent::Agent;
use provider::Provider;
use running::Gravimeter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::task::TaskTracker;

/// How much is measured.
pub struct Options {
    pub streams: u64,
    pub seconds: u64,
    pub call_seconds: u64,
    pub rounds: usize,
    pub idle: Vec<usize>,
    pub ledger_calls: u64,
}

/// A provider, Gravimeter before it, and an agent on each path.
pub struct Stage {
    pub gravimeter: Gravimeter,
    pub direct: Agent,
    pub relayed: Agent,
}

impl Stage {
    async fn set(tasks: &TaskTracker) -> Self {
        let provider = Provider::start(tasks).await;
        let gravimeter = Gravimeter::start(&provider);
        let direct = Agent::new(&provider.root_pem, provider.address, None, tasks);
        let relayed = Agent::new(
            &gravimeter.bundle(),
            provider.address,
            Some(gravimeter.connect),
            tasks,
        );
        Self {
            gravimeter,
            direct,
            relayed,
        }
    }
}

#[tokio::main]
async fn main() {
    let (flags, wanted): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    raise_open_files();
    let full = flags.iter().any(|flag| flag == "--full");
    let options = if full {
        Options {
            streams: 200,
            seconds: 60,
            call_seconds: 15,
            rounds: 15,
            idle: vec![1000, 5000],
            ledger_calls: 10_000_000,
        }
    } else {
        Options {
            streams: 200,
            seconds: 15,
            call_seconds: 4,
            rounds: 7,
            idle: vec![1000],
            ledger_calls: 1_000_000,
        }
    };
    if let [name, rest @ ..] = &wanted[..]
        && name == peers::NAME
    {
        return peers::main(rest, &flags).await;
    }
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let tasks = TaskTracker::new();
    let stage = Stage::set(&tasks).await;
    if asked("delay") {
        delay::run(&stage, &options).await;
    }
    if asked("memory") {
        memory::run(&options).await;
    }
    if asked("calls") {
        calls::run(&stage, &options).await;
    }
    if asked("download") {
        calls::download(&stage).await;
    }
    if asked("scrape") {
        calls::scrape(&stage).await;
        formats::run();
    }
    if asked("ledger") {
        ledger::run(&options);
    }
    if asked("observers") {
        observers::run().await;
    }
    if asked("run") {
        run::run(&options);
    }
    if asked("statusline") {
        statusline::run(&stage);
    }
    if asked("traces") {
        traces::run(&options).await;
    }
}

/// Agent and provider are both here: two descriptors for each stream.
fn raise_open_files() {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the hard limit");
}

pub fn title(text: &str) {
    println!("\n{text}");
}

pub fn row(name: &str, columns: &[&str]) {
    let columns: String = columns
        .iter()
        .map(|column| format!(" {column:>17}"))
        .collect();
    println!("{name:<34}{columns}");
}
