//! Many streams at once: slow ones, whose events carry the instant at which they were made, and
//! idle ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::contestant::Subject;
use super::load::{Figure, Figures};
use crate::agent::Agent;
use crate::calls::Done;
use crate::delay::instants;
use crate::memory::{AT_ONCE, held};
use crate::provider::now;

/// Of all streams together, however many they are: far from what saturates a core.
pub const EVENTS_PER_SECOND: usize = 2000;

/// All are open before the delay of any event is taken down.
pub async fn slow(subject: &Subject, count: usize, time: Duration) -> Figures {
    let query = format!(
        "events={}&pace={}",
        u32::MAX,
        (1000 * count / EVENTS_PER_SECOND).max(1)
    );
    let opening = Arc::new(Semaphore::new(AT_ONCE));
    let (opened, mut open) = mpsc::channel(count);
    let timed = watch::Sender::new(None);
    let mut streams = JoinSet::new();
    for _ in 0..count {
        let stream = Stream {
            agent: subject.agent.clone(),
            query: query.clone(),
            window: timed.subscribe(),
        };
        let (opening, opened) = (Arc::clone(&opening), opened.clone());
        streams.spawn(stream.run(opening, opened));
    }
    let mut first = Vec::with_capacity(count);
    while first.len() < count {
        match timeout(Duration::from_secs(60), open.recv()).await {
            Ok(Some(took)) => first.push(took),
            _ => panic!("{} of {count} streams had their first event", first.len()),
        }
    }
    let (cpu, begun) = (subject.cpu(), Instant::now());
    timed.send_replace(Some(Window {
        from: now(),
        until: now() + time.as_micros() as u64,
    }));
    sleep(time).await;
    let (cpu, took) = (subject.cpu() - cpu, begun.elapsed());
    let delays = streams.join_all().await.concat();
    let (delays, first) = (Done::new(delays, took), Done::new(first, took));
    vec![
        Figure::new("delay p50 ms", delays.at(0.50)),
        Figure::new("delay p99 ms", delays.at(0.99)),
        Figure::new("events/s", delays.rate()),
        Figure::new("CPU µs/event", cpu.as_micros() as f64 / delays.count as f64),
        Figure::new("first event p50 ms", first.at(0.50)),
        Figure::new("first event p99 ms", first.at(0.99)),
    ]
}

/// Events that were made in it count; microseconds of [`now`].
#[derive(Debug, Clone, Copy)]
struct Window {
    from: u64,
    until: u64,
}

struct Stream {
    agent: Agent,
    query: String,
    window: watch::Receiver<Option<Window>>,
}

impl Stream {
    /// Says how long its first event took, from the begin of the connection; returns the delays of
    /// those in the window.
    async fn run(self, opening: Arc<Semaphore>, opened: mpsc::Sender<Duration>) -> Vec<Duration> {
        let mut turn = Some(opening.acquire_owned().await.expect("open for good"));
        let begun = Instant::now();
        let mut stream = self.agent.raw(&self.query).await;
        let (mut delays, mut rest, mut buffer) = (Vec::new(), Vec::new(), vec![0; 16 * 1024]);
        loop {
            let length = stream.read(&mut buffer).await.expect("a stream");
            assert_ne!(length, 0, "a stream without end ended");
            let at = now();
            rest.extend_from_slice(&buffer[..length]);
            let (sent, kept) = instants(&rest);
            rest.drain(..kept);
            if !sent.is_empty() && turn.take().is_some() {
                opened
                    .send(begun.elapsed())
                    .await
                    .expect("somebody listens");
            }
            let Some(window) = *self.window.borrow() else {
                continue;
            };
            let counted = sent
                .iter()
                .filter(|sent| (window.from..window.until).contains(*sent));
            delays.extend(counted.map(|sent| Duration::from_micros(at.saturating_sub(*sent))));
            if at > window.until {
                return delays;
            }
        }
    }
}

/// What each stream takes that has had its first event and has nothing more to tell.
pub async fn idle(subject: &Subject, count: usize) -> Figures {
    // What the first connection sets up for all is not counted as theirs.
    drop(held(&subject.agent).await);
    let before = settled(subject).await;
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let mut opening = JoinSet::new();
        for _ in streams.len()..count.min(streams.len() + AT_ONCE) {
            let agent = subject.agent.clone();
            opening.spawn(async move { held(&agent).await });
        }
        streams.extend(opening.join_all().await);
    }
    let after = settled(subject).await;
    let mib = |kib: u64| kib as f64 / 1024.0;
    vec![
        Figure::new(
            "KiB/stream",
            after.saturating_sub(before) as f64 / count as f64,
        ),
        Figure::new("before MiB", mib(before)),
        Figure::new("with all MiB", mib(after)),
    ]
}

/// Memory once it no longer grows, at last after some seconds: a runtime that collects garbage is
/// never at rest.
async fn settled(subject: &Subject) -> u64 {
    let mut last = 0;
    for _ in 0..20 {
        let now = subject.memory();
        if now <= last {
            return now;
        }
        last = now;
        sleep(Duration::from_millis(300)).await;
    }
    last
}
