//! The ledger at the size of a year: how fast calls are written, what they take on disk, how long a
//! question takes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gravimeter::ledger::{By, Config, Ledger, UsageQuery};
use gravimeter::record::{
    Call, CallIds, CallStarted, Caller, Correlation, CorrelationMethod, Cost, Fact, Host, Id,
    ModalitySplits, Model, Models, Operation, Outcome, Provider, Quality, Reported, Sink, Timing,
    TokenKind, TokenUsage, Turn,
};
use jiff::Timestamp;
use rusqlite::Connection;

use super::{Options, row, title};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Calls of one conversation, which are made within some minutes.
const OF_A_CASCADE: u64 = 40;

/// Puts as many calls into a file as the options say, spread over a year, and asks.
pub fn run(options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let config = Config {
        keep_calls: YEAR * 2,
        max_size: u64::MAX,
        ..Config::default()
    };
    let open = |now| {
        Ledger::open(
            &config,
            &path,
            now,
            Arc::new(Models::default()),
            Arc::new(Nobody),
        )
        .0
    };
    let calls = options.ledger_calls;
    title(&format!("ledger: {calls} calls of a year"));

    let first = SystemTime::now() - YEAR;
    let ledger = open(Timestamp::try_from(first).expect("a time"));
    let begun = Instant::now();
    for number in 0..calls {
        let started_at = first + YEAR.mul_f64(number as f64 / calls as f64);
        facts(number, started_at)
            .iter()
            .for_each(|fact| ledger.receive(fact));
        if number.is_multiple_of(4000) {
            assert!(ledger.settle(Duration::from_secs(60)), "the disk keeps up");
        }
    }
    assert!(ledger.close(Duration::from_secs(600)));
    let took = begun.elapsed();
    row(
        "written",
        &[
            &format!("{:.0} calls/s", calls as f64 / took.as_secs_f64()),
            &format!("{:.1} s", took.as_secs_f64()),
        ],
    );
    drop(ledger);

    let bytes = std::fs::metadata(&path).expect("a file").len();
    row(
        "on disk",
        &[
            &format!("{:.0} MB", bytes as f64 / 1e6),
            &format!("{:.0} bytes/call", bytes as f64 / calls as f64),
        ],
    );
    let file = Connection::open(&path).expect("a ledger");
    for table in ["calls", "usage_slots", "cascade_slots"] {
        let count = |sql: String| {
            file.query_row(&sql, [], |row| row.get::<_, i64>(0))
                .expect("a count")
        };
        row(
            &format!("rows of {table}"),
            &[&count(format!("SELECT count(*) FROM {table}")).to_string()],
        );
    }
    drop(file);

    let begun = Instant::now();
    let ledger = open(Timestamp::now());
    row("start on it", &[&ms(begun)]);
    let now = Timestamp::now();
    let ago = |days: u64| Some(now - Duration::from_secs(days * 86_400 + 77));
    for (name, by, since) in [
        ("everything by model", By::Model, None),
        ("a year by day", By::Day, None),
        ("a year by operation", By::Operation, None),
        ("30 days by model", By::Model, ago(30)),
        ("30 days by conversation", By::Cascade, ago(30)),
        ("300 days by conversation", By::Cascade, ago(300)),
        ("a day by hour", By::Hour, ago(1)),
    ] {
        let query = UsageQuery {
            by,
            since,
            ..UsageQuery::default()
        };
        let first = timed(&ledger, &query, now);
        let best = (0..4)
            .map(|_| timed(&ledger, &query, now))
            .min()
            .expect("some");
        row(
            name,
            &[
                &format!("{:.1} ms", best.as_secs_f64() * 1e3),
                &format!("first {:.1} ms", first.as_secs_f64() * 1e3),
            ],
        );
    }
}

fn timed(ledger: &Ledger, query: &UsageQuery, now: Timestamp) -> Duration {
    let begun = Instant::now();
    ledger.query(query, now).expect("an answer");
    begun.elapsed()
}

fn ms(begun: Instant) -> String {
    format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1e3)
}

/// What Gravimeter says of one call.
pub fn facts(number: u64, started_at: SystemTime) -> [Fact; 3] {
    let provider = if number.is_multiple_of(10) {
        Provider::Gemini
    } else {
        Provider::CloudCode
    };
    let host = Host::parse("daily-cloudcode-pa.googleapis.com").expect("a host");
    let cascade = id(&format!(
        "179c837c-8253-4d7e-9d3c-{:012x}",
        number / OF_A_CASCADE
    ));
    let operation = if number.is_multiple_of(20) {
        Operation::Checkpoint
    } else {
        Operation::Chat
    };
    let started = CallStarted {
        number,
        provider,
        host: host.clone(),
        operation,
        model: None,
        started_at,
        caller: Caller::default(),
    };
    let call = Call {
        number,
        provider,
        host,
        operation,
        model: Model::from_wire(
            [
                "gemini-3-pro-high",
                "gemini-3-flash",
                "claude-sonnet-4-6",
                "gpt-oss-120b",
            ][number as usize % 4],
        ),
        counted_as: None,
        reasoning_level: None,
        turn: Turn::default(),
        rules: None,
        served_model: Some(Model::from_wire("gemini-3-pro")),
        is_substituted: false,
        outcome: if number.is_multiple_of(50) {
            Outcome::RateLimited
        } else {
            Outcome::Ok
        },
        status: Some(200),
        streamed: true,
        finish_reason: Some(id("STOP")),
        rate_limit: None,
        usage: TokenUsage::default()
            .with(TokenKind::Input, 1991 + number % 7919)
            .with(TokenKind::CacheRead, 15_942)
            .with(TokenKind::Output, 56 + number % 997)
            .with(TokenKind::Thinking, 42),
        modalities: ModalitySplits::default(),
        reported: Reported::default(),
        cost: Some(Cost::from_nano_usd(1_991_000 + number % 7919)),
        quality: Quality::Exact,
        timing: Timing {
            started_at,
            duration: Duration::from_millis(2500 + number % 4096),
            time_to_first_chunk: Some(Duration::from_millis(700)),
            content_duration: None,
        },
        ids: CallIds {
            request: Some(id(&format!(
                "agent/{cascade}/1764000000000/5b1f6a52-0f0e-4a39-9d3c-{number:012x}/{}",
                number % 40
            ))),
            trajectory: Some(id(&format!(
                "5b1f6a52-0f0e-4a39-9d3c-{:012x}",
                number / OF_A_CASCADE
            ))),
            response: Some(id(&format!("Kq8t{number:016x}"))),
            ..CallIds::default()
        },
        correlation: Correlation {
            cascade: Some(cascade),
            method: CorrelationMethod::RequestId,
        },
        caller: Caller::default(),
        port: 443,
        parent: None,
        trace: None,
        setup: None,
    };
    let settled = Fact::CorrelationSettled(CorrelationMethod::RequestId);
    [
        Fact::CallStarted(started),
        Fact::Call(Box::new(call)),
        settled,
    ]
}

fn id(text: &str) -> Id {
    Id::from_wire(text).expect("an id")
}

/// Fails when a record is lost: the figures would be of something else.
struct Nobody;

impl Sink for Nobody {
    fn receive(&self, fact: &Fact) {
        panic!("{fact:?}");
    }
}
