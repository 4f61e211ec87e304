//! The loads: what the agent does in a turn, and which figures it takes down.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::contestant::Subject;
use super::{Scale, bulk, streams};
use crate::agent::{Agent, drain, request};
use crate::calls::{self, Done, calls};

/// What one turn gave; the first one is compared.
pub type Figures = Vec<Figure>;

#[derive(Debug, Clone)]
pub struct Figure {
    /// With its unit.
    pub name: &'static str,
    pub value: f64,
}

impl Figure {
    pub fn new(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    CallsHttp1,
    CallsHttp2,
    PacedHttp1,
    PacedHttp2,
    /// Each handshake a full one.
    Connections,
    /// Each handshake offers the session of an earlier one.
    Resumptions,
    Events,
    Download,
    Upload,
    Bodies,
    Streams(usize),
    Idle,
}

impl Load {
    pub fn all(scale: &Scale) -> Vec<Self> {
        let mut all = vec![
            Self::CallsHttp1,
            Self::CallsHttp2,
            Self::PacedHttp1,
            Self::PacedHttp2,
        ];
        all.extend([
            Self::Connections,
            Self::Resumptions,
            Self::Events,
            Self::Download,
            Self::Upload,
            Self::Bodies,
        ]);
        all.extend(scale.streams.iter().map(|count| Self::Streams(*count)));
        all.push(Self::Idle);
        all
    }

    pub fn name(self) -> String {
        match self {
            Self::CallsHttp1 => "calls-http1".to_owned(),
            Self::CallsHttp2 => "calls-http2".to_owned(),
            Self::PacedHttp1 => "paced-http1".to_owned(),
            Self::PacedHttp2 => "paced-http2".to_owned(),
            Self::Connections => "connections".to_owned(),
            Self::Resumptions => "resumptions".to_owned(),
            Self::Events => "events".to_owned(),
            Self::Download => "download".to_owned(),
            Self::Upload => "upload".to_owned(),
            Self::Bodies => "bodies".to_owned(),
            Self::Streams(count) => format!("streams-{count}"),
            Self::Idle => "idle".to_owned(),
        }
    }

    /// For people.
    pub fn describe(self, scale: &Scale) -> String {
        let mib = scale.bulk >> 20;
        match self {
            Self::CallsHttp1 => {
                "calls of 20 events, HTTP/1.1, 16 connections that are kept".to_owned()
            }
            Self::CallsHttp2 => {
                "calls of 20 events, HTTP/2, 16 at once on one connection".to_owned()
            }
            Self::PacedHttp1 => {
                "calls of 20 events, one every 2 ms, HTTP/1.1, 32 connections that are kept"
                    .to_owned()
            }
            Self::PacedHttp2 => {
                "calls of 20 events, one every 2 ms, HTTP/2, 32 at once on one connection"
                    .to_owned()
            }
            Self::Connections => {
                "new connections with one call each, full handshakes, 16 at once".to_owned()
            }
            Self::Resumptions => {
                "new connections with one call each, resumption offered, 16 at once".to_owned()
            }
            Self::Events => format!(
                "one answer of {} MiB of events of 300 bytes",
                scale.events() >> 20
            ),
            Self::Download => format!("one download of {mib} MiB"),
            Self::Upload => format!("one upload of {mib} MiB"),
            Self::Bodies => "calls with a request body of 8 MB, 4 at once".to_owned(),
            Self::Streams(count) => {
                format!(
                    "{count} slow streams, {} events/s in all",
                    streams::EVENTS_PER_SECOND
                )
            }
            Self::Idle => format!("memory of {} idle streams, in new processes", scale.idle),
        }
    }

    pub fn rounds(self, scale: &Scale) -> usize {
        // Memory is looked at in a process that has done nothing else.
        if self.needs_new_processes() {
            1
        } else {
            scale.rounds
        }
    }

    pub fn needs_new_processes(self) -> bool {
        self == Self::Idle
    }

    /// One call of this kind.
    pub async fn probe(self, subject: &Subject) {
        if matches!(self, Self::CallsHttp2 | Self::PacedHttp2) {
            let answer = subject
                .agent
                .h2()
                .await
                .send_request(request(true, MODEL, "events=1"))
                .await;
            drain(answer.expect("an answer")).await;
        } else {
            let mut stream = subject.agent.raw("events=1").await;
            to_the_end(&mut stream).await;
        }
    }

    pub async fn turn(self, subject: &Subject, scale: &Scale) -> Figures {
        match self {
            Self::CallsHttp1 => at_speed(subject, calls::Load::Http1, scale.time).await,
            Self::CallsHttp2 => at_speed(subject, calls::Load::Http2, scale.time).await,
            Self::PacedHttp1 => paced(subject, calls::Load::Http1, scale.time).await,
            Self::PacedHttp2 => paced(subject, calls::Load::Http2, scale.time).await,
            Self::Connections => {
                connections(
                    subject,
                    subject.agent.clone().without_resumption(),
                    scale.time,
                )
                .await
            }
            Self::Resumptions => connections(subject, subject.agent.clone(), scale.time).await,
            Self::Events => bulk::events(subject, scale.events()).await,
            Self::Download => bulk::download(subject, scale.bulk).await,
            Self::Upload => bulk::upload(subject, scale.bulk).await,
            Self::Bodies => bulk::bodies(subject, scale.time).await,
            Self::Streams(count) => streams::slow(subject, count, scale.stream_time).await,
            Self::Idle => streams::idle(subject, scale.idle).await,
        }
    }
}

async fn at_speed(subject: &Subject, load: calls::Load, time: Duration) -> Figures {
    let before = subject.cpu();
    let done = calls(&subject.agent, load, calls::FAST, time).await;
    figures("calls/s", &done, subject.cpu() - before)
}

/// What a call costs while nobody has to hurry: there the processor time is what is compared.
async fn paced(subject: &Subject, load: calls::Load, time: Duration) -> Figures {
    let before = subject.cpu();
    let done = calls(&subject.agent, load, calls::PACED, time).await;
    let mut figures = figures("calls/s", &done, subject.cpu() - before);
    figures.swap(0, 1);
    figures
}

/// Rate, processor time of the contestant, and latencies.
pub fn figures(rate: &'static str, done: &Done, cpu: Duration) -> Figures {
    vec![
        Figure::new(rate, done.rate()),
        Figure::new("CPU µs each", cpu.as_micros() as f64 / done.count as f64),
        Figure::new("p50 ms", done.at(0.50)),
        Figure::new("p99 ms", done.at(0.99)),
    ]
}

async fn connections(subject: &Subject, agent: Agent, time: Duration) -> Figures {
    let before = subject.cpu();
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let agent = agent.clone();
        workers.spawn(async move {
            let (mut latencies, mut resumed) = (Vec::new(), 0);
            while start.elapsed() < time {
                let begun = Instant::now();
                resumed += u64::from(connection(&agent).await);
                latencies.push(begun.elapsed());
            }
            (latencies, resumed)
        });
    }
    let (latencies, resumed): (Vec<_>, Vec<_>) = workers.join_all().await.into_iter().unzip();
    let done = Done::new(latencies.concat(), start.elapsed());
    let mut figures = figures("connections/s", &done, subject.cpu() - before);
    let share = 100.0 * resumed.iter().sum::<u64>() as f64 / done.count as f64;
    figures.push(Figure::new("resumed %", share));
    figures
}

/// One call on a connection of its own; whether its handshake resumed an earlier session.
async fn connection(agent: &Agent) -> bool {
    let mut stream = agent.raw("events=1").await;
    to_the_end(&mut stream).await;
    let _ = stream.shutdown().await;
    stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

/// Reads a raw answer to its last chunk.
pub async fn to_the_end(stream: &mut TlsStream<TcpStream>) {
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let length = stream.read(&mut buffer).await.expect("an answer");
        assert_ne!(length, 0, "the answer was cut off");
        answer.extend_from_slice(&buffer[..length]);
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

const CONCURRENCY: usize = 16;
pub const MODEL: &str = "gemini-2.5-pro";
