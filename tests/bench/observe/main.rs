//! How many bytes per second the parts of the observer read, each fed from memory in the chunks of
//! a relay.
//!
//! `scripts/bench.sh observe [FILTER]`. Criterion keeps the figures of the last run below
//! `target/criterion` and tells the change.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(missing_docs, reason = "a benchmark has no readers from outside")]

mod dialects;
#[path = "../../wire.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of it")]
mod wire;

use std::hint::black_box;
use std::io::Write as _;
use std::sync::LazyLock;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use gravimeter::observe::coding::Decoder;
use gravimeter::observe::json::{PathReader, Paths, Status};
use gravimeter::observe::memory::Memory;
use gravimeter::observe::sse::{SseEvents, SseScanner};

criterion_group!(benches, sse, json, json_stream, gzip, dialects::dialects);
criterion_main!(benches);

/// What a relay reads at once.
const CHUNK: usize = 16 * 1024;

const SIZE: usize = 1 << 20;

fn sse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sse");
    for (name, text) in [
        ("short events", "and"),
        ("long events", &"and some words ".repeat(200)),
    ] {
        let stream = format!("data: {}\r\n\r\n", event(text)).repeat(SIZE / event(text).len());
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            stream.as_bytes(),
            |bencher, stream| {
                bencher.iter(|| {
                    let (mut scanner, mut seen) = (SseScanner::default(), Seen::default());
                    stream
                        .chunks(CHUNK)
                        .for_each(|chunk| scanner.feed(black_box(chunk), &mut seen));
                    assert!(seen.events > 0 && seen.bytes > 0);
                    seen.events
                });
            },
        );
    }
    group.finish();
}

/// An event's data as the Gemini API sends it.
fn event(text: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"index":0}}],"usageMetadata":{{"promptTokenCount":1200,"candidatesTokenCount":34,"totalTokenCount":1234}},"modelVersion":"gemini-2.5-pro","responseId":"bench"}}"#
    )
}

#[derive(Default)]
struct Seen {
    events: u64,
    bytes: u64,
}

impl SseEvents for Seen {
    fn data(&mut self, fragment: &[u8]) {
        self.bytes += fragment.len() as u64;
    }

    fn dispatch(&mut self, _: Option<&str>) {
        self.events += 1;
    }
}

/// Some of the paths of an answer.
static PATHS: LazyLock<Paths<u8>> = LazyLock::new(|| {
    let paths = [
        "modelVersion",
        "responseId",
        "candidates[].finishReason",
        "usageMetadata.promptTokenCount",
        "usageMetadata.candidatesTokenCount",
        "usageMetadata.cachedContentTokenCount",
    ];
    Paths::new(paths.into_iter().zip(0..))
});

fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    let many = event("and some words");
    let documents = [
        (
            "one long string",
            event(&"and some words ".repeat(SIZE / 15)),
        ),
        (
            "many escapes",
            event(&r"a line\n\u00fcber \\".repeat(SIZE / 19)),
        ),
        (
            "many small values",
            format!("[{many}{}]", format!(",{many}").repeat(SIZE / many.len())),
        ),
        (
            "white space",
            format!("[{}0]", format!("0,\n{}", " ".repeat(61)).repeat(SIZE / 64)),
        ),
    ];
    for (name, document) in documents {
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            document.as_bytes(),
            |bencher, document| {
                bencher.iter(|| {
                    let (mut reader, mut values) = (PathReader::new(&PATHS), 0_u64);
                    for chunk in document.chunks(CHUNK) {
                        reader.feed(black_box(chunk), &mut |_, _| values += 1);
                    }
                    assert_eq!(reader.status(), Status::Complete);
                    values
                });
            },
        );
    }
    group.finish();
}

/// Documents that one reader reads in turn, as those of a stream's events.
fn json_stream(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json stream");
    let events = |text: &dyn Fn(usize) -> String| -> Vec<String> {
        (0..SIZE / 300)
            .map(|number| event(&text(number)).replace("34,", &format!("{},", 34 + number)))
            .collect()
    };
    let streams = [
        (
            "repeating",
            events(&|number| format!("answer number {number}, and some words")),
        ),
        (
            "repeating, with escapes",
            events(&|number| format!(r"answer\nnumber {number}, \u00fc and words")),
        ),
        (
            "alternating",
            events(&|number| format!("{number}{}", r#"","thought":true,"x":""#.repeat(number % 2))),
        ),
    ];
    for (name, documents) in streams {
        group.throughput(Throughput::Bytes(
            documents.iter().map(|document| document.len() as u64).sum(),
        ));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            &documents,
            |bencher, documents| {
                bencher.iter(|| {
                    let (mut reader, mut values) = (PathReader::new(&PATHS), 0_u64);
                    for document in documents {
                        reader.reset();
                        let status =
                            reader.feed(black_box(document.as_bytes()), &mut |_, _| values += 1);
                        assert_eq!(status, Status::Complete);
                    }
                    values
                });
            },
        );
    }
    group.finish();
}

/// In decoded bytes.
fn gzip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gzip");
    let plain: String = (0..SIZE / 300)
        .map(|number| event(&format!("answer number {number}, and some words")))
        .collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_bytes()).expect("memory");
    let coded = encoder.finish().expect("memory");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    let memory = Memory::default();
    group.bench_function("events", |bencher| {
        bencher.iter(|| {
            let mut decoder = Decoder::new(&["gzip".to_owned()], &memory).expect("a known coding");
            let mut length = 0;
            for chunk in coded.chunks(CHUNK) {
                decoder
                    .feed(black_box(chunk), &mut |piece| length += piece.len())
                    .expect("sound data");
            }
            assert_eq!(length, plain.len());
            length
        });
    });
    group.finish();
}
