//! A disk that takes its time, or fails: no call waits for it, and nothing that was counted is lost
//! when it is well again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::process::Command;

use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::upstream::Upstream;
use crate::ledger::call;

/// A program on a disk that does what it is told.
struct Stage {
    binary: Binary,
    disk: TempDir,
}

impl Stage {
    async fn set(upstream: &Upstream) -> Self {
        let disk = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", preload(disk.path()).display()));
        command
            .arg(format!("DISK={}", disk.path().display()))
            .arg(PROGRAM);
        let binary = Binary::with(
            command,
            tempfile::tempdir().expect("a folder"),
            &upstream.flags(&[]),
        )
        .await;
        Self { binary, disk }
    }

    fn tell(&self, word: &str) {
        File::create(self.disk.path().join(word)).expect("a writable folder");
    }

    fn heal(&self, word: &str) {
        fs::remove_file(self.disk.path().join(word)).expect("what was told");
    }

    /// The calls that are in the file, in rows and in roll-ups.
    fn kept(&self) -> (u64, u64) {
        let file = Connection::open(self.binary.state().join("ledger.db")).expect("a ledger");
        let number = |sql| {
            file.query_row(sql, [], |row| row.get::<_, i64>(0))
                .expect("a number") as u64
        };
        (
            number("SELECT count(*) FROM calls"),
            number("SELECT coalesce(sum(calls), 0) FROM usage_slots"),
        )
    }
}

/// What stands between the program and the system, made of the source beside this file.
fn preload(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/disk.c");
    let made = folder.join("disk.so");
    let options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"];
    let done = std::process::Command::new("gcc")
        .args(options)
        .arg(&made)
        .arg(&source)
        .status();
    assert!(done.expect("gcc, which Rust needs as well").success());
    made
}

#[tokio::test]
async fn no_call_waits_for_a_disk_that_takes_its_time() {
    let upstream = Upstream::start().await;
    let stage = Stage::set(&upstream).await;
    let mut ends = upstream.pair(&stage.binary).await;
    stage.tell("hold");
    for _ in 0..50 {
        call(&mut ends).await;
    }
    stage
        .binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 50)
        .await;
    assert!(stage.kept().0 < 50, "the disk still takes its time");
    stage.heal("hold");
    until(async || (stage.kept() == (50, 50)).then_some(())).await;
    assert_eq!(
        stage
            .binary
            .sum("gravimeter_ledger_errors_total", &[])
            .await,
        0
    );
    assert_eq!(
        stage
            .binary
            .sum("gravimeter_ledger_dropped_records_total", &[])
            .await,
        0
    );
    stage.binary.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_is_counted_and_made_good_for() {
    let upstream = Upstream::start().await;
    let stage = Stage::set(&upstream).await;
    let mut ends = upstream.pair(&stage.binary).await;
    call(&mut ends).await;
    stage
        .binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 1)
        .await;
    stage.tell("fail");
    for _ in 0..20 {
        call(&mut ends).await;
    }
    stage
        .binary
        .wait_for("gravimeter_ledger_errors_total", &[], 2)
        .await;
    stage
        .binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 21)
        .await;
    stage.heal("fail");
    until(async || (stage.kept() == (21, 21)).then_some(())).await;
    assert_eq!(
        stage
            .binary
            .sum("gravimeter_ledger_dropped_records_total", &[])
            .await,
        0
    );
    stage.binary.stop().await;
}
