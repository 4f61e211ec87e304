//! Floods of a provider: what it sends without end is cut off or held back, in bounded memory, and
//! other connections do not notice.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::{frame, read_head, send, start};
use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, PROGRAM};
use crate::kit::upstream::{AgentEnd, HEAD, ProviderEnd, REQUEST, Upstream};
use crate::kit::{read_all, read_some, soon, write_pieces};

const MIB: usize = 1 << 20;

/// More than every buffer on the way together.
const FLOOD: usize = 64 * MIB;

/// The buffers and windows of one connection, and what the allocator keeps of the ones before.
const ALLOWED_GROWTH: u64 = 24 << 20;

/// A program that forwards requests one by one.
async fn forwarding(upstream: &Upstream) -> (Binary, TempDir) {
    let rules = tempfile::tempdir().expect("a folder");
    let rule = "[[rule]]\nname = \"mark\"\nset_header = { \"x-marked\" = \"yes\" }\n";
    fs::write(rules.path().join("rules.toml"), rule).expect("written");
    let folder = rules.path().to_str().expect("UTF-8").to_owned();
    let flags = upstream.flags(&["--rules.folder", &folder]);
    let state = tempfile::tempdir().expect("a folder");
    let binary = Binary::with(Command::new(PROGRAM), state, &flags).await;
    (binary, rules)
}

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The connection was cut off.
    CutOff,
    /// Nobody takes more of it.
    HeldBack,
    /// All of it went somewhere.
    Taken,
}

/// Sends a piece over and over until the connection is cut off, which hanging up does after it has
/// read and dropped for a second what still comes.
async fn flood_until_cut_off(stream: &mut (impl AsyncWrite + Unpin), piece: &[u8]) {
    let many = piece.repeat((64 << 10) / piece.len() + 1);
    soon(async { while stream.write_all(&many).await.is_ok() {} }).await;
}

/// Sends a piece over and over, as often as a flood is long.
async fn flood(stream: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> Ended {
    let many = piece.repeat((64 << 10) / piece.len() + 1);
    let mut sent = 0;
    while sent < FLOOD {
        match timeout(HELD_BACK, stream.write_all(&many)).await {
            Ok(Ok(())) => sent += many.len(),
            Ok(Err(_)) => return Ended::CutOff,
            Err(_) => return Ended::HeldBack,
        }
    }
    Ended::Taken
}

/// Whoever takes nothing for so long has stopped, also on a busy machine.
const HELD_BACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_head_or_trailers_without_end_are_cut_off() {
    let gravimeter = start().await;
    for (begun, piece) in [
        ("", "HTTP/1.1 200 "),
        ("HTTP/1.1 200 OK\r\n", "x-a: b\r\n"),
        ("HTTP/1.1 200 OK\r\nx-a: ", "bbbbbbbb"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "x-a: b\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            "a=b;",
        ),
    ] {
        let (mut agent, mut provider) = gravimeter.pair().await;
        send(
            &mut agent,
            "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        )
        .await;
        read_head(&mut provider).await;
        send(&mut provider, begun).await;
        flood_until_cut_off(&mut provider, piece.as_bytes()).await;
        let (received, in_order) = read_all(&mut agent).await;
        assert!(!in_order, "{begun:?} {piece:?}");
        assert!(
            received.len() < 1000,
            "{}",
            String::from_utf8_lossy(&received)
        );
    }
    gravimeter.close().await;
}

/// Each field takes memory of its own, however short it is.
#[tokio::test]
async fn a_head_of_more_fields_than_any_has_is_refused() {
    let gravimeter = start().await;
    let fields = |count: usize| -> String { (0..count).map(|n| format!("x-{n}: a\r\n")).collect() };
    // `Host` and `Content-Length` are one of them.
    let request = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: api.example.com\r\n{}\r\n",
            fields(count - 1)
        )
    };
    let answer = |count: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n",
            fields(count - 1)
        )
    };

    let (mut agent, mut provider) = gravimeter.pair().await;
    send(&mut agent, &request(256)).await;
    assert!(read_head(&mut provider).await.contains("x-254: a\r\n"));
    send(&mut provider, &answer(256)).await;
    assert!(read_head(&mut agent).await.contains("x-254: a\r\n"));
    send(&mut agent, &request(257)).await;
    let (received, _) = read_all(&mut agent).await;
    assert!(received.starts_with(b"HTTP/1.1 431 "));

    let (mut agent, mut provider) = gravimeter.pair().await;
    send(&mut agent, &request(2)).await;
    read_head(&mut provider).await;
    send(&mut provider, &answer(257)).await;
    let (received, _) = read_all(&mut agent).await;
    assert!(!received.starts_with(b"HTTP/1.1 200 "));
    gravimeter.close().await;
}

#[tokio::test]
async fn no_flood_of_frames_grows_the_memory() {
    let upstream = Upstream::speaking(&["h2"]).await;
    let (binary, _rules) = forwarding(&upstream).await;
    let agent = Agent::new(&binary.root_pem(), &["h2"]);
    // `:status: 200` by its index, `:status: 103` by its name and value.
    let (ok, hints) = (b"\x88", b"\x08\x03103");
    let begun = frame(1, 4, 1, ok);
    let before = binary.memory().now;
    for (name, begun, piece) in [
        ("PING", vec![], frame(6, 0, 0, &[0; 8])),
        ("SETTINGS", vec![], frame(4, 0, 0, b"")),
        ("WINDOW_UPDATE", vec![], frame(8, 0, 0, &[0, 0, 0, 1])),
        ("unknown frames", vec![], frame(0xee, 0, 0, &[7; 1000])),
        ("interim responses", vec![], frame(1, 4, 1, hints)),
        ("RST_STREAM", vec![], frame(3, 0, 1, &[0, 0, 0, 8])),
        (
            "CONTINUATION",
            frame(1, 0, 1, ok),
            frame(9, 0, 1, &[b"\x00\x01a\x7f\x00", &[b'b'; 127][..]].concat()),
        ),
        ("empty DATA", begun.clone(), frame(0, 0, 1, b"")),
        (
            "DATA beyond the window",
            begun,
            frame(0, 0, 1, &[7; 16 << 10]),
        ),
    ] {
        let (mut agent, mut provider) = upstream.pair_of(binary.connect, &agent).await;
        begin_http2(&mut agent, &mut provider).await;
        write_pieces(&mut provider, &begun, &[usize::MAX], false).await;
        let ended = flood(&mut provider, &piece).await;
        let growth = binary.memory().peak.saturating_sub(before);
        assert!(
            growth < ALLOWED_GROWTH,
            "{name}: grew by {growth} bytes, {ended:?}"
        );
    }
    // Nobody else notices.
    let (mut agent, mut provider) = upstream.pair_of(binary.connect, &agent).await;
    begin_http2(&mut agent, &mut provider).await;
    let answer = [frame(4, 0, 0, b""), frame(1, 5, 1, ok)].concat();
    write_pieces(&mut provider, &answer, &[usize::MAX], false).await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\x01\x05\0\0\0\x01\x88") {
        seen.extend(read_some(&mut agent, 1).await);
    }
    binary.stop().await;
}

/// One request at the provider, which then has said nothing but its settings.
async fn begin_http2(agent: &mut AgentEnd, provider: &mut ProviderEnd) {
    let request = b"\x83\x87\x84\x41\x01a";
    let begun = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &frame(4, 0, 0, b"")[..],
        &frame(1, 5, 1, request),
    ]
    .concat();
    write_pieces(agent, &begun, &[usize::MAX], false).await;
    let mut preface = read_some(provider, 24).await;
    assert!(preface.starts_with(b"PRI "));
    write_pieces(provider, &frame(4, 0, 0, b""), &[usize::MAX], false).await;
    // The head of the request ends the waiting: type HEADERS on stream 1.
    while !preface
        .windows(6)
        .any(|head| head[0] == 1 && head[2..] == [0, 0, 0, 1])
    {
        preface.extend(read_some(provider, 1).await);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_held_back_by_an_agent_that_does_not_read() {
    let upstream = Upstream::start().await;
    let (binary, _rules) = forwarding(&upstream).await;
    let before = binary.memory().now;
    let mut open = Vec::new();
    for chunk in [
        "8\r\ndata: {}\r\n".to_owned(),
        format!("10000\r\n{}\r\n", "x".repeat(0x10000)),
    ] {
        let (mut agent, mut provider) = upstream.pair(&binary).await;
        write_pieces(&mut agent, REQUEST, &[usize::MAX], false).await;
        read_head(&mut provider).await;
        write_pieces(&mut provider, HEAD, &[usize::MAX], false).await;
        assert_eq!(
            flood(&mut provider, chunk.as_bytes()).await,
            Ended::HeldBack
        );
        open.push((agent, provider));
    }
    let growth = binary.memory().peak.saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "grew by {growth} bytes");
    binary.stop().await;
}
