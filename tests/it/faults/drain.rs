//! SIGTERM with a Gravimeter full of work: everything ends whole before the deadline, and nothing
//! outlives it.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::sleep;

use crate::kit::binary::{self, Binary, PROGRAM, until};
use crate::kit::upstream::{LAST, Upstream, finish, go_on};
use crate::kit::{read_all, read_some, soon, write_pieces};

const STREAMS: usize = 50;
const UPLOADS: usize = 5;
const PART: usize = 1 << 20;

#[tokio::test]
async fn fifty_streams_and_five_uploads_end_whole() {
    let upstream = Upstream::start().await;
    let mut binary = Binary::start(&upstream.flags(&["--timeouts.drain", "1h"])).await;
    let (mut streams, mut uploads) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS {
        streams.push(upstream.stream(&binary).await);
    }
    let head = format!(
        "POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        2 * PART
    );
    for _ in 0..UPLOADS {
        let (mut agent, mut provider) = upstream.pair(&binary).await;
        write_pieces(&mut agent, head.as_bytes(), &[usize::MAX], false).await;
        assert_eq!(read_some(&mut provider, head.len()).await, head.as_bytes());
        pass_part(&mut agent, &mut provider).await;
        uploads.push((agent, provider));
    }
    binary
        .wait_for(
            "gravimeter_calls_in_flight",
            &[],
            (STREAMS + UPLOADS) as u64,
        )
        .await;
    binary.signal(Signal::TERM);
    until(async || binary.log().contains("stopping").then_some(())).await;
    for (agent, provider) in &mut streams {
        go_on(agent, provider).await;
    }
    for (agent, provider) in &mut uploads {
        pass_part(agent, provider).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        write_pieces(provider, answer, &[usize::MAX], false).await;
        assert_eq!(
            read_all(agent).await,
            (answer.to_vec(), true),
            "an upload ends whole"
        );
    }
    assert!(
        binary.child.try_wait().expect("a child").is_none(),
        "it runs as long as its streams do"
    );
    for (agent, provider) in &mut streams {
        finish(agent, provider).await;
    }
    assert_eq!(binary.exit().await.code(), Some(0), "{}", binary.log());
    assert!(!binary.log().contains("cut off"), "{}", binary.log());
}

async fn pass_part<A, P>(agent: &mut A, provider: &mut P)
where
    A: tokio::io::AsyncWrite + Unpin,
    P: tokio::io::AsyncRead + Unpin,
{
    let part = vec![b' '; PART];
    let (_, came) = tokio::join!(
        write_pieces(agent, &part, &[usize::MAX], false),
        read_some(provider, PART)
    );
    assert_eq!(came, part);
}

#[tokio::test]
async fn the_deadline_cuts_off_what_does_not_end_and_nothing_else() {
    let upstream = Upstream::start().await;
    let mut binary = Binary::start(&upstream.flags(&["--timeouts.drain", "2s"])).await;
    let (mut endless, _held) = upstream.stream(&binary).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;
    binary.signal(Signal::TERM);
    until(async || binary.log().contains("stopping").then_some(())).await;
    write_pieces(&mut provider, LAST, &[usize::MAX], true).await;
    assert_eq!(
        read_all(&mut agent).await,
        (LAST.to_vec(), true),
        "who ends in time ends in order"
    );
    assert_eq!(
        read_all(&mut endless).await,
        (vec![], false),
        "who does not is cut off"
    );
    assert_eq!(binary.exit().await.code(), Some(0), "{}", binary.log());
    assert!(
        binary.log().contains("running exchanges were cut off"),
        "{}",
        binary.log()
    );
}

#[tokio::test]
async fn sigterm_at_any_moment_of_the_start_ends_it() {
    let start = Instant::now();
    Binary::start(&[]).await.stop().await;
    let whole = start.elapsed();
    for _ in 0..10 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = binary::spawn(
            Command::new(PROGRAM),
            &folder.path().join("state"),
            folder.path(),
            &[],
        );
        let moment = whole.mul_f64(rand::random());
        sleep(moment.max(Duration::from_millis(1))).await;
        rustix::process::kill_process(binary::pid(&child), Signal::TERM).expect("a process");
        let status = soon(child.wait()).await.expect("its end");
        // Before it has taken the signal over, the kernel's default ends it.
        let orderly = status.success() || status.signal() == Some(Signal::TERM.as_raw());
        assert!(orderly, "{status} after {moment:?}");
    }
}
