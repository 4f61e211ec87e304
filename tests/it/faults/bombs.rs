//! Bytes that cost whoever looks at them far more than whoever sends them: they pass on as they
//! are, and neither time nor memory of Gravimeter is used up by looking at them.
//!
//! What is told of time is a ratio to the same without the bomb in the same run, far below what an
//! unlimited reader takes.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use gravimeter::demo::CLOUD_CODE_HOST;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use zstd::stream::raw::CParameter;

use super::floods::{
    CALL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, OK, PREFACE, SETTINGS, put,
};
use crate::kit::agent::Agent;
use crate::kit::binary::Binary;
use crate::kit::upstream::{AgentEnd, ProviderEnd, REQUEST, Upstream, begin, enter, finish, go_on};
use crate::kit::{read_some, soon};

/// How many connections carry the same bomb at the same time: more than there are threads to look
/// at them.
const CONNECTIONS: usize = 4;

/// How much longer than without a bomb others may wait, at the worst. Unlimited readers hold them
/// up a thousand times as long.
const ALLOWED_RATIO: u32 = 40;

/// How often others ask, before and at least as often while a bomb is passed on.
const PROBES: usize = 30;

/// What a machine that is busy with other things may do to a measurement is made good for by
/// measuring again.
const ATTEMPTS: usize = 5;

/// What all bombs together may add to the peak of memory.
const ALLOWED_GROWTH: u64 = 128 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::print_stdout,
    reason = "the figures are told in docs/reliability.md"
)]
async fn bombs_neither_hold_up_others_nor_use_up_memory() {
    let upstream = Upstream::speaking(&["h2", "http/1.1"]).await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let mut other = upstream
        .pair_of(
            binary.connect,
            &Agent::new(&binary.root_pem(), &["http/1.1"]),
        )
        .await;
    begin(&mut other.0, &mut other.1).await;
    let (before, mut too_much) = (binary.memory().peak, Vec::new());
    for bomb in bombs() {
        let mut ratios = Vec::new();
        while ratios.last().is_none_or(|ratio| *ratio > ALLOWED_RATIO) && ratios.len() < ATTEMPTS {
            ratios.push(held_up(&upstream, &binary, &mut other, &bomb).await);
        }
        let growth = binary.memory().peak.saturating_sub(before);
        let figures = format!(
            "{}: {ratios:?} times as long, memory has grown by {} MiB",
            bomb.name,
            growth >> 20
        );
        println!("{figures}");
        if growth >= ALLOWED_GROWTH || ratios.last().is_none_or(|ratio| *ratio > ALLOWED_RATIO) {
            too_much.push(figures);
        }
    }
    assert!(too_much.is_empty(), "{}", too_much.join("\n"));
    for budget in ["time", "memory"] {
        let budget = format!("budget=\"{budget}\"");
        binary
            .wait_for("gravimeter_observer_budget_exceeded_total", &[&budget], 1)
            .await;
    }
    for reason in ["limit", "time_budget", "memory_budget"] {
        binary
            .wait_for(
                "gravimeter_observer_failures_total",
                &[&format!("reason=\"{reason}\"")],
                1,
            )
            .await;
    }
    assert_eq!(
        binary
            .sum("gravimeter_observer_failures_total", &["panic"])
            .await,
        0,
        "{}",
        binary.log()
    );
    upstream.call(&binary).await;
    finish(&mut other.0, &mut other.1).await;
    binary.stop().await;
}

/// How many times longer the slowest probe takes while the bomb is passed on than the slowest
/// before.
async fn held_up(
    upstream: &Upstream,
    binary: &Binary,
    other: &mut (AgentEnd, ProviderEnd),
    bomb: &Bomb,
) -> u32 {
    let mut usual = Duration::ZERO;
    for _ in 0..PROBES {
        usual = usual.max(probe(binary, other).await);
    }
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        ends.push(pair(upstream, binary, bomb.protocol).await);
    }
    let mut senders = JoinSet::new();
    for (agent, provider) in ends {
        senders.spawn(pass(
            agent,
            provider,
            bomb.name,
            bomb.up.clone(),
            bomb.down.clone(),
        ));
    }
    let (mut slowest, mut probes, mut passed) = (Duration::ZERO, 0, Vec::new());
    while probes < PROBES || passed.len() < CONNECTIONS {
        slowest = slowest.max(probe(binary, other).await);
        probes += 1;
        while let Some(done) = senders.try_join_next() {
            passed.push(done.expect("every byte arrives as it was sent"));
        }
    }
    u32::try_from(slowest.as_nanos() / usual.as_nanos()).unwrap_or(u32::MAX)
}

/// What somebody else waits for: an event of a call that is under way, and a word of the exporter.
async fn probe(binary: &Binary, (agent, provider): &mut (AgentEnd, ProviderEnd)) -> Duration {
    let start = Instant::now();
    go_on(agent, provider).await;
    assert!(binary.ask("/healthz", "").await.starts_with("HTTP/1.1 200"));
    start.elapsed()
}

async fn pair(upstream: &Upstream, binary: &Binary, protocol: &str) -> (AgentEnd, ProviderEnd) {
    let agent = Agent::new(&binary.root_pem(), &[protocol]);
    let tcp = enter(binary.connect).await;
    let (agent, provider) = tokio::join!(
        agent.handshake(tcp, CLOUD_CODE_HOST),
        upstream.provider.accept()
    );
    (
        agent.expect("the leaf is trusted"),
        provider.expect("the provider is verified"),
    )
}

/// The bytes of the agent, then those of the provider; both ends, so that the connection stays open
/// until all have passed.
async fn pass(
    mut agent: AgentEnd,
    mut provider: ProviderEnd,
    name: &str,
    up: Vec<u8>,
    down: Vec<u8>,
) -> (AgentEnd, ProviderEnd) {
    let write = async {
        agent.write_all(&up).await.expect("an open connection");
        agent.flush().await.expect("an open connection");
    };
    let ((), came) = soon(async { tokio::join!(write, read_some(&mut provider, up.len())) }).await;
    assert!(came == up, "{name}: what the agent sends arrives");
    let write = async {
        provider.write_all(&down).await.expect("an open connection");
        provider.flush().await.expect("an open connection");
    };
    let ((), came) = soon(async { tokio::join!(write, read_some(&mut agent, down.len())) }).await;
    assert!(came == down, "{name}: what the provider sends arrives");
    (agent, provider)
}

/// What one connection carries.
struct Bomb {
    name: &'static str,
    /// As ALPN names it.
    protocol: &'static str,
    up: Vec<u8>,
    down: Vec<u8>,
}

fn bombs() -> Vec<Bomb> {
    let slow = slow_body();
    let (gzip, zlib) = (gzip(&slow), zlib(&slow));
    // A block of 128 KiB comes out as soon as its last byte is there.
    let zst = zstd(&slow);
    let nested = self::gzip(&gzip);
    let held = zstd_that_holds_its_window();
    let mut bombs = Vec::new();
    let mut add = |name, protocol, up, down| {
        bombs.push(Bomb {
            name,
            protocol,
            up,
            down,
        })
    };
    add(
        "references to commas, from the agent",
        "h2",
        references(PREFACE, CALL, COMMAS),
        start(&[]),
    );
    add(
        "references to commas, from the provider",
        "h2",
        one_call(),
        references(&[], OK, COMMAS),
    );
    add(
        "references to digits, from the agent",
        "h2",
        references(PREFACE, CALL, DIGITS),
        start(&[]),
    );
    add(
        "references to digits, from the provider",
        "h2",
        one_call(),
        references(&[], OK, DIGITS),
    );
    add(
        "gzip that is slow to read, from the agent",
        "http/1.1",
        request("gzip", &gzip),
        vec![],
    );
    add(
        "gzip that is slow to read, from the provider",
        "http/1.1",
        REQUEST.to_vec(),
        answer("gzip", &gzip),
    );
    add(
        "gzip in gzip, from the provider",
        "http/1.1",
        REQUEST.to_vec(),
        answer("gzip, gzip", &nested),
    );
    add(
        "deflate that is slow to read, from the agent",
        "http/1.1",
        request("deflate", &zlib),
        vec![],
    );
    add(
        "zstd that is slow to read, from the provider",
        "http/1.1",
        REQUEST.to_vec(),
        answer("zstd", &zst),
    );
    add(
        "brotli that is slow to read, from the provider",
        "http/1.1",
        REQUEST.to_vec(),
        answer("br", &brotli(&slow)),
    );
    add(
        "many windows of zstd, from the agent",
        "h2",
        streams(PREFACE, CALL, Some(("zstd", &held))),
        start(&[]),
    );
    add(
        "many windows of zstd, from the provider",
        "h2",
        calls(),
        streams(&[], OK, Some(("zstd", &held))),
    );
    add(
        "many windows of brotli, from the agent",
        "h2",
        streams(PREFACE, CALL, Some(("br", HELD_BROTLI))),
        start(&[]),
    );
    add(
        "many windows of brotli, from the provider",
        "h2",
        calls(),
        streams(&[], OK, Some(("br", HELD_BROTLI))),
    );
    bombs
}

/// An array of JSON without end, in a window of 16 MiB.
const HELD_BROTLI: &[u8] = include_bytes!("testdata/held.br");

/// As many streams as are observed of a connection.
const STREAMS: usize = 500;

/// A field of many parts.
const COMMAS: (&[u8], u8) = (b"content-encoding", b',');
/// A field that is long to read.
const DIGITS: (&[u8], u8) = (b"retry-after", b'0');

/// What a side of HTTP/2 begins with.
fn start(preface: &[u8]) -> Vec<u8> {
    let mut bytes = preface.to_vec();
    // The largest table that is allowed to anybody: SETTINGS_HEADER_TABLE_SIZE is 64 KiB.
    put(&mut bytes, SETTINGS, 0, 0, &[0, 1, 0, 1, 0, 0]);
    bytes
}

fn one_call() -> Vec<u8> {
    let mut bytes = start(PREFACE);
    put(&mut bytes, HEADERS, END_HEADERS | END_STREAM, 1, CALL);
    bytes
}

/// One long field into the table, and then a byte for each time that it is meant, in blocks of 60
/// KiB.
fn references(preface: &[u8], head: &[u8], (name, value): (&[u8], u8)) -> Vec<u8> {
    let name_length = u8::try_from(name.len()).expect("a short name");
    let field = [&[0x40, name_length], name, b"\x7f\xa1\x1e", &[value; 4000]].concat();
    let mut bytes = start(preface);
    let blocks = if preface.is_empty() { 1 } else { 8 };
    for stream in (1..).step_by(2).take(blocks) {
        put(
            &mut bytes,
            HEADERS,
            if preface.is_empty() { 0 } else { END_STREAM },
            stream,
            &[head, &field].concat(),
        );
        for _ in 0..3 {
            put(&mut bytes, CONTINUATION, 0, stream, &[0xbe; 15 << 10]);
        }
        put(
            &mut bytes,
            CONTINUATION,
            END_HEADERS,
            stream,
            &[0xbe; 10 << 10],
        );
    }
    bytes
}

fn calls() -> Vec<u8> {
    streams(PREFACE, CALL, None)
}

/// Many streams that begin with the same head, and go on with the same body, which does not end.
fn streams(preface: &[u8], head: &[u8], body: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut bytes = start(preface);
    for stream in (1..).step_by(2).take(STREAMS) {
        let Some((coding, body)) = body else {
            put(&mut bytes, HEADERS, END_HEADERS | END_STREAM, stream, head);
            continue;
        };
        let length = u8::try_from(coding.len()).expect("a short name");
        // `content-encoding` by its number in the static table, 26.
        let coded = [head, &[0x0f, 26 - 15, length], coding.as_bytes()].concat();
        put(&mut bytes, HEADERS, END_HEADERS, stream, &coded);
        put(&mut bytes, DATA, 0, stream, body);
    }
    bytes
}

fn request(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// JSON that takes long to read: empty arrays, each of which is opened and closed by itself.
fn slow_body() -> Vec<u8> {
    just_no_bomb(2_500, b"[],")
}

/// The beginning of a JSON array of `pieces` pieces of 16 KiB. Each consists of `filler`, which
/// nearly vanishes when it is compressed, and of as many random letters as keep the whole below the
/// ratio at which a body counts as a bomb.
fn just_no_bomb(pieces: usize, filler: &[u8]) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(7);
    let mut body = b"[".to_vec();
    for _ in 0..pieces {
        let word: String = (0..96)
            .map(|_| char::from(random.random_range(b'a'..=b'z')))
            .collect();
        body.extend_from_slice(format!("\"{word}\",").as_bytes());
        body.extend(
            filler
                .iter()
                .cycle()
                .take((16 << 10) / filler.len() * filler.len()),
        );
    }
    body
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    encoder.write_all(plain).expect("memory");
    encoder.into_inner()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).expect("memory")
}

/// The beginning of an array that fills 256 KiB of a window of 8 MiB.
fn zstd_that_holds_its_window() -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("a level");
    encoder
        .set_parameter(CParameter::WindowLog(23))
        .expect("a window");
    encoder.write_all(&just_no_bomb(16, b" ")).expect("memory");
    encoder.flush().expect("memory");
    encoder.get_ref().clone()
}
