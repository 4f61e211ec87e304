//! Calls and bytes at full speed: how many there are in a second, and what they cost Gravimeter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::agent::{Agent, drain, request};
use crate::{Options, Stage, row, title};

/// As fast as they come: each core is busy, and who is late reads several events at once.
pub const FAST: Kind = Kind {
    query: "events=20",
    at_once: 16,
};

/// As a model makes them: some cores are idle, and each event comes alone.
pub const PACED: Kind = Kind {
    query: "events=20&pace=2",
    at_once: 32,
};

/// What is called for.
#[derive(Clone, Copy)]
pub struct Kind {
    query: &'static str,
    pub at_once: usize,
}

const MODEL: &str = "gemini-2.5-pro";
const GIB: u64 = 1 << 30;

pub async fn run(stage: &Stage, options: &Options) {
    title(&format!(
        "calls of 20 events, {} at once, {} s each",
        FAST.at_once, options.call_seconds
    ));
    row("", &["calls/s", "of direct", "gravimeter cpu us/call"]);
    for load in [Load::Http1, Load::Http2] {
        let (time, name) = (Duration::from_secs(options.call_seconds), load.name());
        let direct = calls(&stage.direct, load, FAST, time).await;
        let before = stage.gravimeter.cpu();
        let relayed = calls(&stage.relayed, load, FAST, time).await;
        let cpu = (stage.gravimeter.cpu() - before).as_micros() as f64 / relayed.count as f64;
        row(
            &format!("direct  {name}"),
            &[&format!("{:.0}", direct.rate()), "1.00", "-"],
        );
        let ratio = format!("{:.2}", relayed.rate() / direct.rate());
        row(
            &format!("relayed {name}"),
            &[
                &format!("{:.0}", relayed.rate()),
                &ratio,
                &format!("{cpu:.0}"),
            ],
        );
    }
}

/// How calls come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Each on a connection of its own.
    Anew,
    Http1,
    Http2,
}

impl Load {
    pub fn name(self) -> &'static str {
        match self {
            Self::Anew => "HTTP/1.1, a connection each",
            Self::Http1 => "HTTP/1.1, 16 connections",
            Self::Http2 => "HTTP/2, 1 connection",
        }
    }
}

pub struct Done {
    pub count: u64,
    took: Duration,
    /// Of every call, from its request to the end of its answer; sorted.
    pub latencies: Vec<Duration>,
}

impl Done {
    pub fn new(mut latencies: Vec<Duration>, took: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            count: latencies.len() as u64,
            took,
            latencies,
        }
    }

    /// Milliseconds that this share of the calls did not exceed.
    pub fn at(&self, share: f64) -> f64 {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0
    }

    pub fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

pub async fn calls(agent: &Agent, load: Load, kind: Kind, time: Duration) -> Done {
    let h2 = load == Load::Http2;
    let shared = if h2 { Some(agent.h2().await) } else { None };
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..kind.at_once {
        let (agent, shared) = (agent.clone(), shared.clone());
        workers.spawn(async move {
            let mut latencies = Vec::new();
            let mut single = if h2 { None } else { Some(agent.h1().await) };
            while start.elapsed() < time {
                let call = Instant::now();
                if load == Load::Anew {
                    single = Some(agent.h1().await);
                }
                let request = request(h2, MODEL, kind.query);
                let response = match (&mut single, &shared) {
                    (Some(sender), _) => {
                        sender.ready().await.expect("an open connection");
                        sender.send_request(request).await
                    }
                    (None, Some(shared)) => shared.clone().send_request(request).await,
                    (None, None) => unreachable!("one of them is there"),
                };
                drain(response.expect("an answer")).await;
                latencies.push(call.elapsed());
            }
            latencies
        });
    }
    let latencies = workers.join_all().await.concat();
    Done::new(latencies, start.elapsed())
}

pub async fn download(stage: &Stage) {
    title("one download of 1 GiB (HTTP/1.1)");
    row("", &["MB/s", "of direct", "cpu s/GB", "rss growth MiB"]);
    let direct = gibibyte(&stage.direct).await;
    row("direct", &[&format!("{direct:.0}"), "1.00", "-", "-"]);
    let (cpu, rss) = (stage.gravimeter.cpu(), stage.gravimeter.rss());
    // One connection before, so that the growth is the download's own.
    let peak = Arc::new(AtomicU64::new(rss));
    let relayed = tokio::select! {
        rate = gibibyte(&stage.relayed) => rate,
        () = watch(stage, &peak) => unreachable!("watches until it is dropped"),
    };
    let cost = (stage.gravimeter.cpu() - cpu).as_secs_f64() / (GIB as f64 / 1e9);
    let growth = (peak.load(Ordering::Relaxed) - rss) as f64 / 1024.0;
    let ratio = format!("{:.2}", relayed / direct);
    row(
        "relayed",
        &[
            &format!("{relayed:.0}"),
            &ratio,
            &format!("{cost:.2}"),
            &format!("{growth:.1}"),
        ],
    );
}

async fn gibibyte(agent: &Agent) -> f64 {
    let mut sender = agent.h1().await;
    let start = Instant::now();
    let response = sender
        .send_request(request(false, MODEL, &format!("bytes={GIB}")))
        .await
        .expect("an answer");
    assert_eq!(drain(response).await, GIB);
    GIB as f64 / 1e6 / start.elapsed().as_secs_f64()
}

async fn watch(stage: &Stage, peak: &AtomicU64) {
    loop {
        peak.fetch_max(stage.gravimeter.rss(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A call to each of 200 models, then scrapes.
pub async fn scrape(stage: &Stage) {
    const MODELS: usize = 200;
    const SCRAPES: usize = 100;
    let mut sender = stage.relayed.h1().await;
    for model in 0..MODELS {
        sender.ready().await.expect("an open connection");
        let request = request(false, &format!("gemini-bench-{model}"), "events=2");
        drain(sender.send_request(request).await.expect("an answer")).await;
    }
    let cpu = stage.gravimeter.cpu();
    let (mut times, mut bytes, mut series) = (Vec::new(), 0, 0);
    for _ in 0..SCRAPES {
        let start = Instant::now();
        let page = get(stage.gravimeter.web).await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        bytes = page.len();
        series = page.lines().filter(|line| !line.starts_with('#')).count();
    }
    times.sort_by(f64::total_cmp);
    let cpu = (stage.gravimeter.cpu() - cpu).as_secs_f64() * 1000.0 / SCRAPES as f64;
    title(&format!("scrape of /metrics with {MODELS} models"));
    row("", &["p50 ms", "p99 ms", "cpu ms", "KiB", "series"]);
    let ms = |place: usize| format!("{:.1}", times[place]);
    let (kib, series) = ((bytes / 1024).to_string(), series.to_string());
    row(
        "plain",
        &[
            &ms(SCRAPES / 2),
            &ms(SCRAPES * 99 / 100),
            &format!("{cpu:.1}"),
            &kib,
            &series,
        ],
    );
}

pub async fn get(web: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(web)
        .await
        .expect("an exporter");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {web}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}
