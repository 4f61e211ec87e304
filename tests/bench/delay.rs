//! What Gravimeter adds to the way of one SSE event, with many streams at once.

use std::time::Duration;

use memchr::memmem;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::provider::{DIGITS, MARK, now};
use crate::{Options, Stage, row, title};

/// What one path delivered.
#[derive(Default)]
struct Arrivals {
    /// Microseconds from made to read.
    delays: Vec<u64>,
    /// Events that came in one read with an earlier one.
    coalesced: usize,
}

impl Arrivals {
    fn at(&self, share: f64) -> f64 {
        self.delays[((self.delays.len() - 1) as f64 * share) as usize] as f64 / 1000.0
    }
}

pub async fn run(stage: &Stage, options: &Options) {
    title(&format!(
        "delay per event, {} streams, an event each 20 ms, {} s",
        options.streams, options.seconds
    ));
    row(
        "",
        &["events", "p50 ms", "p99 ms", "max ms", "coalesced", "cpu s"],
    );
    let direct = path(&stage.direct, options).await;
    show("direct", &direct, None);
    let before = stage.gravimeter.cpu();
    let relayed = path(&stage.relayed, options).await;
    show("relayed", &relayed, Some(stage.gravimeter.cpu() - before));
    let added = |share| format!("{:+.3}", relayed.at(share) - direct.at(share));
    row(
        "added",
        &["", &added(0.50), &added(0.99), &added(1.0), "", ""],
    );
}

fn show(name: &str, arrivals: &Arrivals, cpu: Option<Duration>) {
    let ms = |share| format!("{:.3}", arrivals.at(share));
    let cpu = cpu.map_or("-".to_owned(), |cpu| format!("{:.2}", cpu.as_secs_f64()));
    let (count, coalesced) = (
        arrivals.delays.len().to_string(),
        arrivals.coalesced.to_string(),
    );
    row(
        name,
        &[&count, &ms(0.50), &ms(0.99), &ms(1.0), &coalesced, &cpu],
    );
}

async fn path(agent: &Agent, options: &Options) -> Arrivals {
    let count = options.seconds * 50;
    let mut streams = JoinSet::new();
    for _ in 0..options.streams {
        let agent = agent.clone();
        streams.spawn(async move { stream(&agent, count).await });
        // Spread over the 20 ms, as streams that know nothing of each other are.
        sleep(Duration::from_millis(3)).await;
    }
    let mut all = Arrivals::default();
    while let Some(arrivals) = streams.join_next().await {
        let arrivals = arrivals.expect("a stream");
        all.delays.extend(arrivals.delays);
        all.coalesced += arrivals.coalesced;
    }
    all.delays.sort_unstable();
    all
}

/// Reads one stream until all of its events are there. The first second, in which others still
/// shake hands, is not counted.
async fn stream(agent: &Agent, count: u64) -> Arrivals {
    let mut stream = agent.raw(&format!("events={count}&pace=20")).await;
    let (mut arrivals, mut seen, mut rest) = (Arrivals::default(), 0, Vec::new());
    let warm = Instant::now() + Duration::from_secs(1);
    let mut buffer = vec![0; 16 * 1024];
    while seen < count {
        let length = stream.read(&mut buffer).await.expect("a whole stream");
        assert_ne!(length, 0, "a stream ended after {seen} events");
        let at = now();
        rest.extend_from_slice(&buffer[..length]);
        let (sent, kept) = instants(&rest);
        rest.drain(..kept);
        seen += sent.len() as u64;
        if Instant::now() > warm {
            arrivals.coalesced += sent.len().saturating_sub(1);
            arrivals
                .delays
                .extend(sent.into_iter().map(|sent| at.saturating_sub(sent)));
        }
    }
    arrivals
}

/// When the events in `bytes` were made, and where the last whole one ends.
pub fn instants(bytes: &[u8]) -> (Vec<u64>, usize) {
    let (mut sent, mut end) = (Vec::new(), 0);
    for place in memmem::find_iter(bytes, MARK) {
        let digits = place + MARK.len()..place + MARK.len() + DIGITS;
        if let Some(text) = bytes.get(digits.clone()) {
            sent.push(
                std::str::from_utf8(text)
                    .expect("digits")
                    .parse()
                    .expect("digits"),
            );
            end = digits.end;
        }
    }
    (sent, end)
}
