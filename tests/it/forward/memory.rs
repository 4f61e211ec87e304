//! Promise: the bodies that are read for rules take no more memory than they may, however many
//! connections there are; one for which none is left is too large.

use std::fs;

use gravimeter::demo::CLOUD_CODE_HOST;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command;

use super::{read_head, send};
use crate::kit::binary::{Binary, PROGRAM};
use crate::kit::upstream::Upstream;
use crate::kit::{read_some, soon, write_pieces};

const MIB: usize = 1 << 20;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// A program with one rule, and a folder that must stay.
async fn start(upstream: &Upstream, keys: &str, memory: &str) -> (Binary, TempDir) {
    let rules = tempfile::tempdir().expect("a folder");
    let rule = format!("[[rule]]\nname = \"tone\"\nappend_system = \"Briefly.\"\n{keys}");
    fs::write(rules.path().join("rules.toml"), rule).expect("written");
    let folder = rules.path().to_str().expect("UTF-8");
    let flags = ["--rules.folder", folder, "--rules.max_memory_mib", memory];
    let state = tempfile::tempdir().expect("a folder");
    let flags = upstream.flags(&flags);
    let binary = Binary::with(Command::new(PROGRAM), state, &flags).await;
    (binary, rules)
}

/// A request's head for a body of this length.
fn head(length: usize, more: &str) -> String {
    format!(
        "POST /v1internal:generateContent HTTP/1.1\r\nHost: {CLOUD_CODE_HOST}\r\n{more}Content-Length: {length}\r\n\r\n"
    )
}

/// The JSON of a request that has so many bytes: white space in front, which stays.
fn body(length: usize) -> String {
    let request = r#"{"model":"gemini-2.5-pro","request":{"contents":[]}}"#;
    format!("{}{request}", " ".repeat(length - request.len()))
}

/// The same of a content that does not pack like a bomb.
fn varied_body(length: usize) -> String {
    let numbers: String = (0..length / 8)
        .map(|number| format!("{number:08x}"))
        .collect();
    format!(r#"{{"model":"gemini-2.5-pro","pad":"{numbers}","request":{{"contents":[]}}}}"#)
}

/// The head and body that the provider gets, and its answer at the agent.
async fn exchange(
    agent: &mut (impl AsyncRead + AsyncWrite + Unpin),
    provider: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Vec<u8> {
    let head = read_head(provider).await.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a length");
    let got = read_some(provider, length.parse().expect("a number")).await;
    send(provider, ANSWER).await;
    assert_eq!(read_some(agent, ANSWER.len()).await, ANSWER.as_bytes());
    got
}

async fn used(binary: &Binary, result: &str) -> u64 {
    let result = format!("result=\"{result}\"");
    binary
        .sum("gravimeter_rules_applied_total", &[&result])
        .await
}

/// What the rule adds to a body.
const ADDED: &[u8] = br#","systemInstruction":{"parts":[{"text":"Briefly."}]}"#;

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_body_for_which_no_memory_is_left_goes_as_it_came() {
    let upstream = Upstream::start().await;
    let (binary, _rules) = start(&upstream, "max_body_mib = 64", "32").await;
    let (mut slow, mut slow_provider) = upstream.pair(&binary).await;
    let whole = body(31 * MIB);
    send(&mut slow, &head(whole.len(), "")).await;
    // When this is written, all of it was read but for what sockets hold: more than half of the
    // memory, so that the buffer has grown to all of it.
    let (most, last) = whole.split_at(31 * MIB - 10);
    soon(write_pieces(&mut slow, most.as_bytes(), &[MIB], false)).await;

    let small = body(64 << 10);
    let ends = upstream.pair(&binary).await;
    let (mut agent, mut provider) = ends;
    let request = format!("{}{small}", head(small.len(), ""));
    send(&mut agent, &request).await;
    let got = exchange(&mut agent, &mut provider).await;
    assert!(got == small.as_bytes(), "as it came");
    assert_eq!(used(&binary, "too_large").await, 1);
    assert!(
        binary.log().contains("rules.max_memory_mib"),
        "{}",
        binary.log()
    );

    // What was read whole is changed, and gives its memory back.
    send(&mut slow, last).await;
    let got = exchange(&mut slow, &mut slow_provider).await;
    assert!(contains(&got, ADDED) && got.len() == whole.len() + ADDED.len());
    send(&mut agent, &request).await;
    let got = exchange(&mut agent, &mut provider).await;
    assert!(contains(&got, ADDED));
    assert_eq!(used(&binary, "applied").await, 2);
    binary.stop().await;
}

#[tokio::test]
async fn what_a_body_unpacks_to_counts_and_can_be_refused() {
    let upstream = Upstream::start().await;
    let (binary, _rules) = start(&upstream, "on_too_large = \"deny\"", "1").await;
    for (length, status) in [(2 * MIB, "413"), (MIB / 2, "200")] {
        let (mut agent, mut provider) = upstream.pair(&binary).await;
        let packed = zstd::encode_all(varied_body(length).as_bytes(), 1).expect("memory");
        assert!(packed.len() < MIB / 2, "alone, it would not be too large");
        let head = head(packed.len(), "Content-Encoding: zstd\r\n");
        let request = [head.as_bytes(), &packed].concat();
        write_pieces(&mut agent, &request, &[usize::MAX], false).await;
        if status == "200" {
            let got = exchange(&mut agent, &mut provider).await;
            let got = zstd::decode_all(&got[..]).expect("packed again");
            assert!(contains(&got, ADDED));
        } else {
            let answer = read_head(&mut agent).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        }
    }
    assert_eq!(
        (
            used(&binary, "too_large").await,
            used(&binary, "applied").await
        ),
        (1, 1)
    );
    binary.stop().await;
}

/// What the program may grow by for a body of 1 MiB: the body, its text while the rule is applied, and
/// the buffers of one connection. A buffer for each byte would be 32 MiB alone.
const ALLOWED_GROWTH: u64 = 20 << 20;

#[tokio::test]
async fn a_body_of_single_bytes_takes_no_more_than_others() {
    let upstream = Upstream::start().await;
    let (binary, _rules) = start(&upstream, "", "64").await;
    let (mut agent, mut provider) = upstream.pair(&binary).await;
    let before = binary.memory().now;
    let whole = body(MIB);
    let head = head(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    send(&mut agent, &head).await;
    let sent = async {
        for part in whole.as_bytes().chunks(64 << 10) {
            let chunks: Vec<u8> = part
                .iter()
                .flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n'])
                .collect();
            agent.write_all(&chunks).await.expect("an open connection");
        }
        agent.write_all(b"0\r\n\r\n").await.expect("open");
        agent.flush().await.expect("open");
    };
    soon(sent).await;
    let got = exchange(&mut agent, &mut provider).await;
    assert!(contains(&got, ADDED) && got.len() == whole.len() + ADDED.len());
    let growth = binary.memory().peak.saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "grew by {growth} bytes");
    binary.stop().await;
}

#[tokio::test]
async fn many_connections_share_the_memory() {
    const CONNECTIONS: usize = 12;
    let upstream = Upstream::start().await;
    let (binary, _rules) = start(&upstream, "", "16").await;
    let before = binary.memory().now;
    let whole = body(16 * MIB);
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        let (mut agent, mut provider) = upstream.pair(&binary).await;
        send(&mut agent, &head(whole.len(), "")).await;
        // What is not held for the rule goes on to the provider, who reads it and never answers.
        let mut begun = vec![0; MIB];
        let write = write_pieces(&mut agent, &whole.as_bytes()[..12 * MIB], &[MIB], false);
        let read = async { while provider.read(&mut begun).await.is_ok_and(|read| read > 0) {} };
        soon(async {
            tokio::select! { () = write => {}, () = read => {} }
        })
        .await;
        ends.push((agent, provider));
    }
    let growth = binary.memory().peak.saturating_sub(before);
    // Without the bound, it is twelve times that.
    assert!(growth < 48 << 20, "grew by {growth} bytes");
    binary.stop().await;
}
