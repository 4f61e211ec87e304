//! Promise: usage that was counted survives a kill, once; counters go on where they were; a file
//! that cannot be written harms no traffic, and what could not be kept is counted.

use std::path::Path;

use rand::Rng as _;
use rusqlite::Connection;
use rustix::process::{Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::{client, server};

use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::upstream::{REQUEST, Upstream};
use crate::kit::{read_some, write_pieces};

/// A whole answer of 12 tokens.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 188\r\n\r\n\
{\"response\":{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"STOP\"}],\
\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":5,\"totalTokenCount\":12}}}";

const TOKENS: u64 = 12;

/// An agent and a provider, connected through the program.
pub type Ends = (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>);

/// One whole call on a connection.
pub async fn call((agent, provider): &mut Ends) {
    write_pieces(agent, REQUEST, &[usize::MAX], false).await;
    assert_eq!(read_some(provider, REQUEST.len()).await, REQUEST);
    write_pieces(provider, ANSWER, &[usize::MAX], false).await;
    assert_eq!(read_some(agent, ANSWER.len()).await, ANSWER);
}

/// The number that the file answers with.
pub fn number(file: &Path, sql: &str) -> u64 {
    let file = Connection::open(file).expect("a ledger");
    file.query_row(sql, [], |row| row.get::<_, i64>(0))
        .expect("a number") as u64
}

/// Ends the program by kill -9 again and again, in the middle of calls. Returns how many were
/// counted, and how many of them were interrupted.
pub async fn survive(kills: usize) -> (u64, u64) {
    let upstream = Upstream::start().await;
    let mut folder = tempfile::tempdir().expect("a folder");
    let (mut kept, mut interrupted) = (0, 0);
    for _ in 0..kills {
        let (binary, ok) = resume(folder, &upstream, kept, interrupted).await;
        let mut ends = upstream.pair(&binary).await;
        let certain = rand::rng().random_range(1..6);
        for _ in 0..certain {
            call(&mut ends).await;
        }
        let mut open = Vec::new();
        for _ in 0..rand::rng().random_range(1..4) {
            open.push(upstream.stream(&binary).await);
        }
        // What a scrape has shown is on disk.
        binary
            .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], ok + certain)
            .await;
        binary
            .wait_for("gravimeter_calls_in_flight", &[], open.len() as u64)
            .await;
        let uncertain = rand::rng().random_range(0..4);
        for _ in 0..uncertain {
            call(&mut ends).await;
        }
        folder = binary.kill().await;
        let file = folder.path().join("state/ledger.db");
        let stored = number(&file, "SELECT count(*) FROM calls WHERE outcome = 'ok'");
        assert!(
            (ok + certain..=ok + certain + uncertain).contains(&stored),
            "{stored} of {ok} + {certain} + {uncertain}"
        );
        assert!(
            number(
                &file,
                "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"
            ) == 1
        );
        // One that had ended and was not on disk yet is one that was under way: it has left its
        // beginning there, or nothing.
        let under_way = number(&file, "SELECT count(*) FROM started");
        assert!(
            (open.len() as u64..=open.len() as u64 + uncertain).contains(&under_way),
            "{under_way}"
        );
        interrupted += under_way;
        kept = stored;
    }
    let (binary, _) = resume(folder, &upstream, kept, interrupted).await;
    binary.stop().await;
    (kept + interrupted, interrupted)
}

/// Starts the program on what another one has left: every view goes on from exactly that.
async fn resume(folder: TempDir, upstream: &Upstream, ok: u64, interrupted: u64) -> (Binary, u64) {
    let binary = Binary::with(Command::new(PROGRAM), folder, &upstream.flags(&[])).await;
    let calls = "gravimeter_calls_total";
    assert_eq!(binary.sum(calls, &["outcome=\"ok\""]).await, ok);
    assert_eq!(
        binary.sum(calls, &["outcome=\"interrupted\""]).await,
        interrupted
    );
    assert_eq!(binary.sum(calls, &[]).await, ok + interrupted);
    assert_eq!(
        binary.sum("gravimeter_tokens_total", &[]).await,
        ok * TOKENS
    );
    assert_eq!(
        binary
            .sum("gravimeter_usage_reports_total", &["quality=\"unknown\""])
            .await,
        interrupted
    );
    assert_eq!(
        binary
            .sum("gen_ai_client_inference_usage_input_tokens_total", &[])
            .await,
        ok * 7
    );
    for by in ["model", "day", "operation", "cascade"] {
        let answer = binary.ask(&format!("/v1/usage?by={by}"), "").await;
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let usage: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            usage["totals"]["calls"].as_u64(),
            Some(ok + interrupted),
            "by {by}"
        );
        assert_eq!(
            usage["totals"]["total_tokens"].as_u64(),
            Some(ok * TOKENS),
            "by {by}"
        );
    }
    let file = binary.state().join("ledger.db");
    assert_eq!(
        number(&file, "SELECT count(*) FROM calls"),
        ok + interrupted
    );
    assert_eq!(
        number(&file, "SELECT coalesce(sum(calls), 0) FROM usage_slots"),
        ok + interrupted
    );
    (binary, ok)
}

#[tokio::test]
async fn what_was_counted_survives_kills_once() {
    survive(4).await;
}

#[tokio::test]
async fn a_disk_without_room_harms_no_call_and_is_waited_for() {
    let upstream = Upstream::start().await;
    let mut command = Command::new("sh");
    // A file that may not grow is then an error, as on a full disk, and not the end.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM]);
    let binary = Binary::with(
        command,
        tempfile::tempdir().expect("a folder"),
        &upstream.flags(&[]),
    )
    .await;
    let mut ends = upstream.pair(&binary).await;
    let limit = |bytes| {
        prlimit(
            Some(binary.pid()),
            Resource::Fsize,
            Rlimit {
                current: bytes,
                maximum: None,
            },
        )
    };
    limit(Some(200 << 10)).expect("our own process");
    let mut made = 0;
    while binary
        .sum("gravimeter_ledger_errors_total", &["operation=\"write\""])
        .await
        < 3
    {
        call(&mut ends).await;
        made += 1;
        assert!(made < 10_000, "the limit is felt");
    }
    for _ in 0..20 {
        call(&mut ends).await;
        made += 1;
    }
    binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], made)
        .await;
    assert_eq!(
        binary
            .sum("gravimeter_ledger_dropped_records_total", &[])
            .await,
        0
    );
    let file = binary.state().join("ledger.db");
    limit(None).expect("our own process");
    until(async || (number(&file, "SELECT count(*) FROM calls") == made).then_some(())).await;
    assert_eq!(number(&file, "SELECT sum(calls) FROM usage_slots"), made);
    binary.stop().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_and_a_file_in_use_do_not_keep_gravimeter_from_working() {
    let upstream = Upstream::start().await;
    let first = Binary::start(&upstream.flags(&[])).await;
    let taken = first.state().join("ledger.db").display().to_string();
    for (path, said) in [
        ("/proc/ledger.db", "kept in memory only"),
        (&taken, "kept in memory until that one has ended"),
    ] {
        let binary = Binary::start(&upstream.flags(&["--ledger.path", path])).await;
        assert_eq!(
            binary
                .sum("gravimeter_ledger_errors_total", &["operation=\"open\""])
                .await,
            1
        );
        assert!(binary.log().contains(said), "{}", binary.log());
        let mut ends = upstream.pair(&binary).await;
        call(&mut ends).await;
        binary
            .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 1)
            .await;
        let usage = binary.ask("/v1/usage?by=day", "").await;
        assert!(usage.contains("\"total_tokens\":12"), "{usage}");
        binary.stop().await;
    }
    first.stop().await;
}
