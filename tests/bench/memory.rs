//! What an idle stream costs in memory, before and after it has carried a burst.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

use crate::agent::Agent;
use crate::provider::{BURST, Provider};
use crate::running::Gravimeter;
use crate::{Options, row, title};

/// How many shake hands at the same time.
pub const AT_ONCE: usize = 32;

pub async fn run(options: &Options) {
    title("memory per idle stream (HTTP/1.1)");
    row(
        "streams",
        &[
            "before MiB",
            "idle MiB",
            "KiB/stream",
            "after 64 KiB",
            "KiB/stream",
        ],
    );
    for count in &options.idle {
        measure(*count).await;
    }
}

/// A Gravimeter of its own for each count, so that one does not inherit what another has left behind.
async fn measure(count: usize) {
    let tasks = TaskTracker::new();
    let provider = Provider::start(&tasks).await;
    let gravimeter = Gravimeter::start(&provider);
    let agent = Agent::new(
        &gravimeter.bundle(),
        provider.address,
        Some(gravimeter.connect),
        &tasks,
    );
    // What the first connection sets up for all is not counted as theirs.
    drop(held(&agent).await);
    let before = settled(&gravimeter).await;

    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let mut opening = JoinSet::new();
        for _ in streams.len()..count.min(streams.len() + AT_ONCE) {
            let agent = agent.clone();
            opening.spawn(async move { held(&agent).await });
        }
        streams.extend(opening.join_all().await);
    }
    let idle = settled(&gravimeter).await;
    provider.burst();
    for stream in &mut streams {
        let mut burst = vec![0; BURST];
        stream.read_exact(&mut burst).await.expect("a burst");
    }
    let after = settled(&gravimeter).await;
    let each = |kib: u64| format!("{:.1}", kib.saturating_sub(before) as f64 / count as f64);
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    row(
        &count.to_string(),
        &[
            &mib(before),
            &mib(idle),
            &each(idle),
            &mib(after),
            &each(after),
        ],
    );
}

/// A stream that has had its first event and has nothing more to tell.
pub async fn held(agent: &Agent) -> TlsStream<TcpStream> {
    let mut stream = agent.raw("hold=1").await;
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !seen.ends_with(b"\"bench\"}\r\n\r\n\r\n") {
        let length = stream.read(&mut buffer).await.expect("an event");
        assert_ne!(length, 0, "a stream ended before its first event");
        seen.extend_from_slice(&buffer[..length]);
    }
    stream
}

/// Resident memory once it no longer changes.
async fn settled(gravimeter: &Gravimeter) -> u64 {
    let mut last = 0;
    loop {
        let now = gravimeter.rss();
        if now == last {
            return now;
        }
        last = now;
        sleep(Duration::from_millis(300)).await;
    }
}
