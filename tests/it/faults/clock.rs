//! The clock jumps under the running Gravimeter: nothing stops, nothing counts backwards, no leaf
//! outlives its days.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::upstream::{Offset, Upstream, begin, enter, finish, go_on};
use crate::kit::{faketime, read_all};
use crate::whole;
use gravimeter::demo::CLOUD_CODE_HOST;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

const YEAR: i64 = 365 * DAY;

/// What becomes of a new connection under a clock.
#[derive(Debug, PartialEq, Eq)]
enum Served {
    Yes,
    /// With a leaf that was made after the jump.
    Minted,
    /// A certificate is not valid at that time.
    Refused,
}

#[tokio::test]
async fn a_wall_clock_that_jumps_stops_nothing_and_nothing_counts_backwards() {
    let clock = Clock::new();
    let upstream = Upstream::start().await;
    let binary = clock.start(&upstream).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;
    let (mut calls, mut before) = (0, counters(&binary).await);
    // Ten years on, the CA is too old. In 1970 no certificate is valid, so nobody new is tried.
    for (jump, served) in [
        (0, Some(Served::Yes)),
        (HOUR / 2, Some(Served::Yes)),
        (-HOUR / 2, Some(Served::Yes)),
        (8 * DAY, Some(Served::Minted)),
        (0, Some(Served::Minted)),
        (10 * YEAR, Some(Served::Refused)),
        (-clock.started, None),
        (10 * YEAR - clock.started, Some(Served::Minted)),
        (0, Some(Served::Minted)),
    ] {
        clock.jump(&binary, jump).await;
        go_on(&mut agent, &mut provider).await;
        let minted = binary
            .sum("gravimeter_leaf_certificates_total", &["minted"])
            .await;
        let refused = binary
            .sum("gravimeter_connections_refused_total", &["handshake"])
            .await;
        if served == Some(Served::Refused) {
            refuse(&upstream, &binary, jump).await;
            binary
                .wait_for(
                    "gravimeter_connections_refused_total",
                    &["handshake"],
                    refused + 1,
                )
                .await;
        } else if let Some(served) = served {
            serve(&upstream, &binary, jump).await;
            calls += 1;
            binary.wait_for("gravimeter_calls_total", &[], calls).await;
            let again = binary
                .sum("gravimeter_leaf_certificates_total", &["minted"])
                .await
                - minted;
            assert_eq!(again, u64::from(served == Served::Minted), "at {jump}");
        }
        before = never_less(before, counters(&binary).await, jump);
    }
    finish(&mut agent, &mut provider).await;
    binary
        .wait_for("gravimeter_calls_total", &[], calls + 1)
        .await;
    durations_are_short(&binary).await;
    end_well(binary).await;
}

async fn serve(upstream: &Upstream, binary: &Binary, jump: i64) {
    let agent = Agent::with_clock(&binary.root_pem(), &["http/1.1"], Arc::new(Offset(jump)));
    let (mut agent, mut provider) = upstream.pair_of(binary.connect, &agent).await;
    begin(&mut agent, &mut provider).await;
    finish(&mut agent, &mut provider).await;
}

async fn refuse(upstream: &Upstream, binary: &Binary, jump: i64) {
    let agent = Agent::with_clock(&binary.root_pem(), &["http/1.1"], Arc::new(Offset(jump)));
    let tcp = enter(binary.connect).await;
    let (agent, _provider) = tokio::join!(
        agent.handshake(tcp, CLOUD_CODE_HOST),
        upstream.provider.accept()
    );
    assert!(agent.is_err(), "refused at {jump}");
}

/// The values of every series that must not go down.
async fn counters(binary: &Binary) -> BTreeMap<String, f64> {
    let page = whole::get(binary.web, "/metrics").await;
    let counts = |name: &str| {
        ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    let lines = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            counts(series.split('{').next()?)
                .then(|| (series.to_owned(), value.parse().expect("a number")))
        });
    lines.collect()
}

fn never_less(
    before: BTreeMap<String, f64>,
    now: BTreeMap<String, f64>,
    jump: i64,
) -> BTreeMap<String, f64> {
    assert!(before.len() > 20, "the exposition was read");
    for (series, value) in before {
        assert!(
            now.get(&series).is_some_and(|now| *now >= value),
            "{series} went down from {value} at {jump}"
        );
    }
    now
}

/// No duration is negative, and none holds a jump: the shortest one is half an hour.
async fn durations_are_short(binary: &Binary) {
    let page = whole::get(binary.web, "/metrics").await;
    let sums = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        series
            .split('{')
            .next()?
            .ends_with("_seconds_sum")
            .then(|| (series, value.parse::<f64>().expect("a number")))
    });
    let mut seen = 0;
    for (series, seconds) in sums {
        assert!(
            (0.0..(HOUR / 2) as f64).contains(&seconds),
            "{series} {seconds}"
        );
        seen += 1;
    }
    assert!(seen > 3, "{page}");
}

async fn end_well(mut binary: Binary) {
    binary.signal(Signal::TERM);
    assert!(binary.exit().await.success(), "{}", binary.log());
    assert!(!binary.log().contains("panicked"), "{}", binary.log());
}

/// A record with a ClientHello that holds nothing.
const EMPTY_HELLO: &[u8] = &[22, 3, 1, 0, 4, 1, 0, 0, 0];

/// A clock in the test's hands, by libfaketime.
struct Clock {
    folder: TempDir,
    /// Seconds since the epoch.
    started: i64,
}

impl Clock {
    fn new() -> Self {
        let started = rustls_pki_types::UnixTime::now()
            .as_secs()
            .try_into()
            .expect("a time");
        let clock = Self {
            folder: tempfile::tempdir().expect("a folder"),
            started,
        };
        clock.set(0);
        clock
    }

    /// Starts the program under this clock.
    async fn start(&self, upstream: &Upstream) -> Binary {
        let mut command = Command::new(PROGRAM);
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1");
        // The kernel's monotonic clock cannot be set.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Binary::with(
            command,
            tempfile::tempdir().expect("a folder"),
            &upstream.flags(&[]),
        )
        .await
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn set(&self, seconds: i64) {
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("a writable folder");
        // It is read at any moment, and never half.
        fs::rename(new, self.file()).expect("a writable folder");
    }

    /// Moves the clock, and waits until the program believes it: whatever it refuses, it logs with
    /// the time.
    async fn jump(&self, binary: &Binary, seconds: i64) {
        self.set(seconds);
        until(async || {
            let mut nonsense = enter(binary.connect).await;
            nonsense.write_all(EMPTY_HELLO).await.expect("a hello");
            read_all(&mut nonsense).await;
            let log = binary.log();
            let line = serde_json::from_str::<serde_json::Value>(log.lines().last()?).ok()?;
            let said: jiff::Timestamp = line["timestamp"].as_str()?.parse().ok()?;
            let off =
                said.as_second() - rustls_pki_types::UnixTime::now().as_secs() as i64 - seconds;
            (off.abs() < HOUR / 4).then_some(())
        })
        .await;
    }
}
