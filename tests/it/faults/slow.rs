//! Slow readers on either side: the other side is throttled, nothing is collected, and everything
//! arrives in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::kit::binary::Binary;
use crate::kit::soon;
use crate::kit::upstream::{HEAD, REQUEST, Upstream, finish, go_on};
use crate::kit::{read_some, write_pieces};

/// What each writer has to tell. The kernel's buffers on the way hold some 10 MB of it at the most.
const OFFERED: usize = 48 << 20;
/// The stream at the reader's end is compared so far.
const COMPARED: usize = 1 << 20;
/// What a stalled stream may cost.
const EACH: u64 = 256 << 10;

#[tokio::test]
async fn those_who_do_not_read_cost_no_memory_and_hold_up_nobody_else() {
    stall(16).await;
}

/// So many stalled streams in either direction; the growth of the peak of memory, in bytes. What
/// they hold back waits in the kernel, which throttles the whole machine when that is more than a
/// few percent of its memory: hundreds do not fit.
pub async fn stall(count: usize) -> u64 {
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let (mut clean_agent, mut clean_provider) = upstream.stream(&binary).await;
    // What connections cost by themselves, and what the first ones cost, is not looked at here.
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(upstream.pair(&binary).await);
    }
    drop(connections);
    let before = binary.memory().peak;
    let mut growth = 0;
    for down in [true, false] {
        let (written, mut writers, mut readers) =
            (Arc::new(AtomicU64::new(0)), JoinSet::new(), Vec::new());
        for _ in 0..count {
            let (mut agent, mut provider) = upstream.pair(&binary).await;
            if down {
                write_pieces(&mut agent, REQUEST, &[usize::MAX], false).await;
                read_some(&mut provider, REQUEST.len()).await;
                write_pieces(&mut provider, HEAD, &[usize::MAX], false).await;
                read_some(&mut agent, HEAD.len()).await;
                writers.spawn(write(provider, chunk_head(), Arc::clone(&written)));
                readers.push(Reader::Agent(agent));
            } else {
                writers.spawn(write(agent, upload_head(), Arc::clone(&written)));
                readers.push(Reader::Provider(provider));
            }
        }
        let stalled = settled(&written).await;
        assert!(
            stalled < (count * OFFERED) as u64 * 3 / 4,
            "throttled: {stalled} bytes have gone out"
        );
        growth = binary.memory().peak - before;
        assert!(
            growth < count as u64 * EACH,
            "grew by {growth} bytes for {count} streams"
        );
        go_on(&mut clean_agent, &mut clean_provider).await;
        let head = if down { chunk_head() } else { upload_head() };
        for reader in &mut readers {
            reader.compare(&head).await;
        }
        writers.shutdown().await;
    }
    upstream.call(&binary).await;
    finish(&mut clean_agent, &mut clean_provider).await;
    binary.stop().await;
    growth
}

enum Reader {
    Agent(crate::kit::upstream::AgentEnd),
    Provider(crate::kit::upstream::ProviderEnd),
}

impl Reader {
    /// What was held back for this reader is what was sent.
    async fn compare(&mut self, head: &[u8]) {
        match self {
            Self::Agent(stream) => compare(stream, head).await,
            Self::Provider(stream) => compare(stream, head).await,
        }
    }
}

async fn compare(stream: &mut (impl AsyncRead + Unpin), head: &[u8]) {
    let mut came = vec![0; head.len() + COMPARED];
    soon(stream.read_exact(&mut came))
        .await
        .expect("the stream goes on");
    assert_eq!(&came[..head.len()], head);
    assert!(
        came[head.len()..] == events(0, COMPARED)[..],
        "in order and whole"
    );
}

async fn write(mut stream: impl AsyncWrite + Unpin, head: Vec<u8>, written: Arc<AtomicU64>) {
    stream.write_all(&head).await.expect("a writable stream");
    let mut at = 0;
    while at < OFFERED {
        stream
            .write_all(&events(at, PIECE))
            .await
            .expect("a writable stream");
        at += PIECE;
        written.fetch_add(PIECE as u64, Relaxed);
    }
    stream.flush().await.expect("a writable stream");
    std::future::pending::<()>().await;
}

const PIECE: usize = 16 << 10;

/// Events of 32 bytes with their numbers, from the byte `at` on.
fn events(at: usize, length: usize) -> Vec<u8> {
    (at / 32..(at + length) / 32)
        .flat_map(|number| format!("data: {{\"number\":{number:013}}}\n\n").into_bytes())
        .collect()
}

fn chunk_head() -> Vec<u8> {
    format!("{OFFERED:x}\r\n").into_bytes()
}

fn upload_head() -> Vec<u8> {
    format!(
        "POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Length: {OFFERED}\r\n\r\n"
    )
    .into_bytes()
}

/// How much has gone out when nothing goes out any more.
async fn settled(written: &AtomicU64) -> u64 {
    let (mut last, mut still) = (0, 0);
    while still < 10 {
        sleep(Duration::from_millis(200)).await;
        let now = written.load(Relaxed);
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
    last
}
