//! A hundred thousand connections, half of them cut off somewhere: what they took is given back.

use std::net::SocketAddr;
use std::sync::Arc;

use gravimeter::demo::CLOUD_CODE_HOST;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{mib, tell};
use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, until};
use crate::kit::provider::Provider;
use crate::kit::upstream::{HEAD, LAST, REQUEST, Upstream, enter};
use crate::kit::{read_all, reset_on_close};

const BATCHES: usize = 5;
const BATCH: usize = 20_000;
const AT_ONCE: usize = 32;
/// From the end of the second batch to the end of the last one: 1 MiB for every 10,000 connections.
const ALLOWED_GROWTH: u64 = 6 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak"]
async fn a_hundred_thousand_connections_leave_nothing_behind() {
    let upstream = Arc::new(Upstream::start().await);
    let binary = Binary::start(&upstream.flags(&[])).await;
    upstream.call(&binary).await;
    let answering = serve(Arc::clone(&upstream));
    let (memory, files) = (binary.memory().now, idle_files(&binary).await);
    let mut after = Vec::new();
    for _ in 0..BATCHES {
        batch(&binary).await;
        let left = idle_files(&binary).await;
        assert!(
            left <= files + 5,
            "{left} descriptors are open, {files} were"
        );
        after.push(binary.memory().now);
    }
    let told: Vec<_> = after
        .iter()
        .map(|bytes| format!("{:.1}", mib(*bytes)))
        .collect();
    let growth = after[BATCHES - 1].saturating_sub(after[1]);
    assert!(
        growth < ALLOWED_GROWTH,
        "grew by {:.1} MiB: {told:?}",
        mib(growth)
    );
    let ended = binary.sum("gravimeter_connections_total", &[]).await;
    assert_eq!(
        ended,
        (BATCHES * BATCH + 1) as u64,
        "every connection was counted, once"
    );
    tell(&format!(
        "{ended} connections: {:.1} MiB before, after each fifth of them {told:?} MiB; {files} descriptors before, {} after",
        mib(memory),
        idle_files(&binary).await
    ));
    drop(answering);
    binary.stop().await;
}

/// Open descriptors once no connection is open any more.
async fn idle_files(binary: &Binary) -> u64 {
    until(async || (binary.sum("gravimeter_connections_active", &[]).await == 0).then_some(()))
        .await;
    binary.sum("process_open_fds", &[]).await
}

async fn batch(binary: &Binary) {
    let agent = Arc::new(Agent::new(&binary.root_pem(), &["http/1.1"]));
    let mut running = JoinSet::new();
    for number in 0..BATCH {
        if running.len() == AT_ONCE {
            running
                .join_next()
                .await
                .expect("one of them")
                .expect("no panic");
        }
        let (agent, door) = (Arc::clone(&agent), binary.connect);
        running.spawn(async move {
            if number % 2 == 0 {
                whole(&agent, door).await
            } else {
                cut(&agent, door).await
            }
        });
    }
    running.join_all().await;
}

async fn whole(agent: &Agent, door: SocketAddr) {
    let mut stream = agent
        .handshake(enter(door).await, CLOUD_CODE_HOST)
        .await
        .expect("the leaf is trusted");
    stream.write_all(REQUEST).await.expect("a writable stream");
    stream.flush().await.expect("a writable stream");
    assert_eq!(read_all(&mut stream).await, ([HEAD, LAST].concat(), true));
}

/// Breaks off after a random byte of the hello or of the request.
async fn cut(agent: &Agent, door: SocketAddr) {
    let mut tcp = enter(door).await;
    if rand::random() {
        let hello = agent.hello(CLOUD_CODE_HOST);
        let _ = tcp
            .write_all(&hello[..rand::random_range(0..hello.len())])
            .await;
        reset_on_close(&tcp);
        return;
    }
    let mut stream = agent
        .handshake(tcp, CLOUD_CODE_HOST)
        .await
        .expect("the leaf is trusted");
    let _ = stream
        .write_all(&REQUEST[..rand::random_range(0..REQUEST.len())])
        .await;
    let _ = stream.flush().await;
    if rand::random() {
        reset_on_close(stream.get_ref().0);
    }
}

/// Answers whoever comes, until it is dropped.
fn serve(upstream: Arc<Upstream>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let provider: &Provider = &upstream.provider;
        let mut open = JoinSet::new();
        loop {
            let tcp = provider.accept_tcp().await;
            let upstream = Arc::clone(&upstream);
            open.spawn(async move {
                let Ok(mut stream) = upstream.provider.handshake(tcp).await else {
                    return;
                };
                let mut request = vec![0; REQUEST.len()];
                if stream.read_exact(&mut request).await.is_ok() {
                    let _ = stream.write_all(&[HEAD, LAST].concat()).await;
                    let _ = stream.shutdown().await;
                }
                let _ = read_all(&mut stream).await;
            });
            while open.try_join_next().is_some() {}
        }
    });
    tasks
}
