//! What exporting spans costs: the same calls through instances that differ in nothing else, in turns
//! within one run.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::agent::Agent;
use crate::calls::{FAST, Load, calls, get};
use crate::provider::Provider;
use crate::running::Gravimeter;
use crate::{Options, row, title};

/// One Gravimeter, and what it has done in each round.
struct Variant {
    name: &'static str,
    gravimeter: Gravimeter,
    agent: Agent,
    turns: Vec<Turn>,
}

struct Turn {
    calls: u64,
    rate: f64,
    /// Of Gravimeter when the turn began. What a turn has left to export is paid before the next
    /// one.
    cpu: Duration,
}

pub async fn run(options: &Options) {
    let tasks = TaskTracker::new();
    let provider = Provider::start(&tasks).await;
    let endpoint = format!("http://{}", collector(&tasks).await);
    let otlp = [
        "--otlp.protocol",
        "grpc",
        "--otlp.sampler",
        "always_on",
        "--otlp.endpoint",
        &endpoint,
    ];
    let mut variants = [
        ("no traces", &[][..]),
        ("OTLP", &otlp),
        (
            "OTLP, diagnostics",
            &[&otlp[..], &["--otlp.diagnostics"]].concat(),
        ),
    ]
    .map(|(name, flags)| {
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let gravimeter = Gravimeter::with(&provider, &flags);
        let agent = Agent::new(
            &gravimeter.bundle(),
            provider.address,
            Some(gravimeter.connect),
            &tasks,
        );
        Variant {
            name,
            gravimeter,
            agent,
            turns: Vec::new(),
        }
    });
    title(&format!(
        "traces: calls of 20 events, {} rounds of {SECONDS} s for each in turns; medians",
        options.rounds
    ));
    for load in [Load::Http1, Load::Http2, Load::Anew] {
        measure(&mut variants, load, options.rounds).await;
    }
}

/// Every round begins with another variant, so that none has always the same one before it.
async fn measure(variants: &mut [Variant; 3], load: Load, rounds: usize) {
    for variant in variants.iter_mut() {
        variant.turns.clear();
        // Caches, sessions and leaves are there before anything is counted.
        calls(&variant.agent, load, FAST, Duration::from_millis(500)).await;
    }
    // What was left over is exported.
    tokio::time::sleep(FLUSHED).await;
    let before = [
        spans(&variants[0]).await,
        spans(&variants[1]).await,
        spans(&variants[2]).await,
    ];
    for round in 0..rounds {
        for place in 0..variants.len() {
            let variant = &mut variants[(round + place) % 3];
            let cpu = variant.gravimeter.cpu();
            let done = calls(&variant.agent, load, FAST, Duration::from_secs(SECONDS)).await;
            variant.turns.push(Turn {
                calls: done.count,
                rate: done.rate(),
                cpu,
            });
        }
    }
    tokio::time::sleep(FLUSHED).await;
    row(
        load.name(),
        &[
            "calls/s",
            "ratio (quartiles)",
            "cpu us/call",
            "ratio (quartiles)",
            "spans/call",
            "lost",
        ],
    );
    let [none, ..] = &*variants;
    let (plain_rates, plain_costs) = (none.rates(), none.costs());
    for (variant, before) in variants.iter().zip(before) {
        let (rates, costs) = (variant.rates(), variant.costs());
        let after = spans(variant).await;
        let made: u64 = variant.turns.iter().map(|turn| turn.calls).sum();
        let per_call = format!("{:.2}", (after.0 - before.0) / made as f64);
        row(
            variant.name,
            &[
                &format!("{:.0}", median(&rates)),
                &compared(&rates, &plain_rates),
                &format!("{:.0}", median(&costs)),
                &compared(&costs, &plain_costs),
                &per_call,
                &format!("{:.0}", after.1 - before.1),
            ],
        );
    }
}

impl Variant {
    fn rates(&self) -> Vec<f64> {
        self.turns.iter().map(|turn| turn.rate).collect()
    }

    /// Microseconds of Gravimeter for each call, by round.
    fn costs(&self) -> Vec<f64> {
        let ends = self
            .turns
            .iter()
            .skip(1)
            .map(|turn| turn.cpu)
            .chain([self.gravimeter.cpu()]);
        let turns = self.turns.iter().zip(ends);
        turns
            .map(|(turn, end)| (end - turn.cpu).as_micros() as f64 / turn.calls as f64)
            .collect()
    }
}

/// The median of the rounds' ratios, and the quarter below and above it.
fn compared(these: &[f64], others: &[f64]) -> String {
    let mut ratios: Vec<_> = these
        .iter()
        .zip(others)
        .map(|(this, other)| this / other)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share).round() as usize];
    format!("{:.2} ({:.2}-{:.2})", at(0.5), at(0.25), at(0.75))
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Spans that were exported and that were lost so far.
async fn spans(variant: &Variant) -> (f64, f64) {
    let page = get(variant.gravimeter.web).await;
    let sum = |metric: &str| {
        let values = page
            .lines()
            .filter(|line| line.starts_with(metric))
            .filter_map(|line| line.rsplit_once(' '));
        values
            .map(|(_, value)| value.parse::<f64>().expect("a number"))
            .sum()
    };
    (
        sum("gravimeter_otlp_spans_exported_total"),
        sum("gravimeter_otlp_spans_dropped_total"),
    )
}

/// A collector that takes everything over gRPC and looks at nothing.
async fn collector(tasks: &TaskTracker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tracker = tasks.clone();
    tasks.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let serve = async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                // A Gravimeter that has ended closes its connection as it likes.
                let _ = builder
                    .serve_connection(TokioIo::new(tcp), service_fn(take))
                    .await;
            };
            tracker.spawn(serve);
        }
    });
    address
}

async fn take(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let _ = request.into_body().collect().await;
    // An empty answer: it has taken all.
    let body = Full::new(Bytes::from_static(&[0; 5]));
    let status = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response
        .body(body.with_trailers(async { Some(Ok(status)) }))
        .expect("a response"))
}

const SECONDS: u64 = 2;

/// Longer than a span waits for its batch.
const FLUSHED: Duration = Duration::from_secs(6);
