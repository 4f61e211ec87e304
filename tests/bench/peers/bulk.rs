//! Many bytes: one large answer, one large request, and the long contexts of many turns.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use super::contestant::Subject;
use super::load::{Figure, Figures, MODEL, figures, to_the_end};
use crate::agent::{drain, request, request_with};
use crate::calls::Done;

/// `size` is a multiple of the provider's pieces of 64 KiB.
pub async fn download(subject: &Subject, size: usize) -> Figures {
    let mut sender = subject.agent.h1().await;
    let (before, start) = (subject.cpu(), Instant::now());
    let answer = sender
        .send_request(request(false, MODEL, &format!("bytes={size}")))
        .await
        .expect("an answer");
    assert_eq!(drain(answer).await, size as u64);
    speed(size, start.elapsed(), subject.cpu() - before)
}

/// One answer of `size` bytes, all of them events of some 300 bytes.
pub async fn events(subject: &Subject, size: usize) -> Figures {
    let mut sender = subject.agent.h1().await;
    let (before, start) = (subject.cpu(), Instant::now());
    let answer = sender
        .send_request(request(false, MODEL, &format!("stream={size}")))
        .await
        .expect("an answer");
    let came = drain(answer).await as usize;
    assert!(came > size / 2, "{came} bytes came");
    speed(came, start.elapsed(), subject.cpu() - before)
}

/// One prompt, as long as it takes.
pub async fn upload(subject: &Subject, size: usize) -> Figures {
    const HEAD: &[u8] = br#"{"contents":[{"role":"user","parts":[{"text":""#;
    const TAIL: &[u8] = br#""}]}]}"#;
    let piece = "why ".repeat(16 * 1024);
    let mut stream = subject
        .agent
        .raw_head("events=1", HEAD.len() + size + TAIL.len())
        .await;
    let (before, start) = (subject.cpu(), Instant::now());
    stream.write_all(HEAD).await.expect("a writable stream");
    for _ in 0..size / piece.len() {
        stream
            .write_all(piece.as_bytes())
            .await
            .expect("a writable stream");
    }
    stream.write_all(TAIL).await.expect("a writable stream");
    stream.flush().await.expect("a writable stream");
    to_the_end(&mut stream).await;
    speed(size, start.elapsed(), subject.cpu() - before)
}

fn speed(size: usize, took: Duration, cpu: Duration) -> Figures {
    let size = size as f64;
    vec![
        Figure::new("MB/s", size / 1e6 / took.as_secs_f64()),
        Figure::new("CPU s per GB", cpu.as_secs_f64() / (size / 1e9)),
    ]
}

/// A conversation of 8 MB, turn by turn as an agent sends it.
static CONTEXT: LazyLock<Bytes> = LazyLock::new(|| {
    const SIZE: usize = 8_000_000;
    let turn = |role, text: &str| {
        format!(
            r#"{{"role":"{role}","parts":[{{"text":"{}"}}]}},"#,
            text.repeat(400)
        )
    };
    let pair = turn("user", "why is that ") + &turn("model", "because it is ");
    let turns = pair.repeat(SIZE / pair.len());
    format!(r#"{{"contents":[{}]}}"#, turns.trim_end_matches(',')).into()
});

const AT_ONCE: usize = 4;

pub async fn bodies(subject: &Subject, time: Duration) -> Figures {
    LazyLock::force(&CONTEXT);
    let (before, start) = (subject.cpu(), Instant::now());
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let agent = subject.agent.clone();
        workers.spawn(async move {
            let (mut sender, mut latencies) = (agent.h1().await, Vec::new());
            while start.elapsed() < time {
                let begun = Instant::now();
                sender.ready().await.expect("an open connection");
                let request = request_with(CONTEXT.clone(), false, MODEL, "events=2");
                drain(sender.send_request(request).await.expect("an answer")).await;
                latencies.push(begun.elapsed());
            }
            latencies
        });
    }
    let done = Done::new(workers.join_all().await.concat(), start.elapsed());
    figures("calls/s", &done, subject.cpu() - before)
}
