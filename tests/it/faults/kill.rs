//! `kill -9` at moments that nobody chose: what was under way is cut off, never passed by, and the
//! next start is a good one.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;

use crate::kit::binary::{self, Binary, PROGRAM};
use crate::kit::upstream::{Upstream, go_on};
use crate::kit::{read_all, soon};

#[tokio::test]
async fn killed_in_the_middle_of_streams_it_fails_closed_and_comes_back() {
    in_the_middle_of_streams(5).await;
}

#[tokio::test]
async fn killed_at_any_moment_of_its_first_start_it_starts_again() {
    at_its_first_start(5).await;
}

/// Kills Gravimeter under a stream again and again; its state outlives it.
pub async fn in_the_middle_of_streams(rounds: u32) {
    let upstream = Upstream::start().await;
    let state = tempfile::tempdir().expect("a folder");
    let flags = upstream.flags(&["--state.dir", state.path().to_str().expect("UTF-8")]);
    let mut root = None;
    for round in 0..rounds {
        let mut binary = Binary::start(&flags).await;
        assert_eq!(
            root.get_or_insert_with(|| binary.root_pem()),
            &binary.root_pem(),
            "the CA stays, round {round}"
        );
        let (mut agent, mut provider) = upstream.stream(&binary).await;
        let after = rand::random_range(0..30);
        for _ in 0..after {
            go_on(&mut agent, &mut provider).await;
        }
        sleep(random(Duration::from_millis(20))).await;
        binary.signal(Signal::KILL);
        let (at_agent, at_provider) = tokio::join!(read_all(&mut agent), read_all(&mut provider));
        assert_eq!(
            at_agent,
            (vec![], false),
            "cut off, not closed in order, after {after} events in round {round}"
        );
        assert_eq!(
            at_provider,
            (vec![], false),
            "the provider need not go on, round {round}"
        );
        binary.exit().await;
        let door = TcpStream::connect(binary.connect).await;
        assert_eq!(
            door.expect_err("closed").kind(),
            std::io::ErrorKind::ConnectionRefused,
            "refused at once"
        );
    }
    upstream.call(&Binary::start(&flags).await).await;
}

/// Kills Gravimeter while it makes its CA and its bundle, then starts it again over what it has
/// left.
pub async fn at_its_first_start(rounds: u32) {
    let upstream = Upstream::start().await;
    let start = Instant::now();
    Binary::start(&upstream.flags(&[])).await.stop().await;
    let whole = start.elapsed();
    for round in 0..rounds {
        let state = tempfile::tempdir().expect("a folder");
        let flags = upstream.flags(&[
            "--state.dir",
            state.path().join("state").to_str().expect("UTF-8"),
        ]);
        let mut child = binary::spawn(Command::new(PROGRAM), state.path(), state.path(), &flags);
        let moment = random(whole);
        sleep(moment).await;
        child.start_kill().expect("a child");
        soon(child.wait()).await.expect("its end");
        let binary = Binary::start(&flags).await;
        upstream.call(&binary).await;
        assert!(
            !binary.log().contains("panicked"),
            "round {round}, killed after {moment:?}: {}",
            binary.log()
        );
        binary.stop().await;
    }
}

fn random(below: Duration) -> Duration {
    below.mul_f64(rand::random())
}
