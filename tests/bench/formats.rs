//! What each exposition format costs, and native histograms, when histograms hold many different
//! values: in this process, without a network.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use gravimeter::export::formats::Format;
use gravimeter::export::{Config, Metrics};
use gravimeter::record::{Call, ContentChunks, Fact, Model, Models, Sink as _};

use crate::ledger::facts;
use crate::running::rss;
use crate::{row, title};

const MODELS: usize = 200;

/// As many calls of each model fill every bucket that its histograms may have.
const CALLS: u32 = 5_000;

pub fn run() {
    let before = rss("self");
    let metrics = Metrics::new(Config::default(), Arc::new(Models::new(MODELS)));
    call_each_model(&metrics, 0..1);
    measure(&metrics, &format!("{MODELS} models, a call each"), before);
    let gaps = call_each_model(&metrics, 1..CALLS);
    measure(
        &metrics,
        &format!("{MODELS} models, {CALLS} different calls each"),
        before,
    );
    let each = gaps.as_secs_f64() * 1e9 / f64::from(CALLS - 1) / MODELS as f64;
    row("a part of a stream, counted", &[&format!("{each:.0} ns")]);
}

/// Calls that take from 10 ms to half an hour, with gaps of a thousandth of it. Returns how long
/// the gaps took to count.
fn call_each_model(metrics: &Metrics, calls: std::ops::Range<u32>) -> Duration {
    let mut spent = Duration::ZERO;
    for model in (0..MODELS).map(|model| Model::from_wire(&format!("model-{model}"))) {
        for call in calls.clone() {
            // Neighbours do not follow each other: 1,871 has no divisor in common with 5,000.
            let rank = f64::from(call * 1_871 % CALLS) / f64::from(CALLS);
            let duration = Duration::from_secs_f64(0.01 * 180_000_f64.powf(rank));
            let [_, ended, _] = facts(1, SystemTime::now());
            let Fact::Call(ended) = ended else {
                panic!("a call");
            };
            let mut ended = Call {
                model: model.clone(),
                served_model: None,
                ..*ended
            };
            ended.timing.duration = duration;
            ended.timing.time_to_first_chunk = Some(duration / 10);
            let chunks = Fact::ContentChunks(ContentChunks {
                provider: ended.provider,
                operation: ended.operation,
                model: model.clone(),
                gap: duration / 1000,
                count: 3,
            });
            metrics.receive(&Fact::Call(Box::new(ended)));
            let begun = Instant::now();
            metrics.receive(&chunks);
            spent += begun.elapsed();
        }
    }
    spent
}

fn measure(metrics: &Metrics, what: &str, before: u64) {
    const SCRAPES: usize = 51;
    title(&format!("formats of /metrics: {what}"));
    let held = rss("self").saturating_sub(before);
    row("", &["p50 ms", "KiB", "KiB gzip"]);
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let mut times = Vec::new();
        let mut exposition = Vec::new();
        for _ in 0..SCRAPES {
            let begun = Instant::now();
            exposition = metrics.encode(format).expect("an exposition");
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&exposition).expect("memory");
        let gzip = gzip.finish().expect("memory").len() / 1024;
        row(
            &format!("{format:?}"),
            &[
                &format!("{:.1}", times[SCRAPES / 2]),
                &(exposition.len() / 1024).to_string(),
                &gzip.to_string(),
            ],
        );
    }
    let peak = rss("self").saturating_sub(before);
    row(
        "memory, and after scrapes, MiB",
        &[&(held / 1024).to_string(), &(peak / 1024).to_string()],
    );
}
