//! Crowds: those who never finish what they begin, each phase for itself, and those who all come at
//! once.

use std::time::Duration;

use gravimeter::demo::CLOUD_CODE_HOST;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, until};
use crate::kit::soon;
use crate::kit::upstream::{Upstream, enter, finish, go_on};

/// Those in each phase.
const CROWD: u64 = 100;

#[tokio::test]
async fn who_drips_is_let_go_in_every_phase_and_the_others_are_served() {
    let upstream = Upstream::start().await;
    let limits = ["connect_request", "client_hello", "agent_handshake"]
        .map(|step| [format!("--timeouts.{step}"), "3s".into()]);
    let flags = [upstream.flags(&[]), limits.concat()].concat();
    let binary = Binary::start(&flags).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;

    let hello = Agent::new(&binary.root_pem(), &["http/1.1"]).hello(CLOUD_CODE_HOST);
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let request = format!(
            "CONNECT {CLOUD_CODE_HOST}:443 HTTP/1.1\r\nX: {}",
            "x".repeat(10_000)
        );
        crowd.spawn(drip(
            TcpStream::connect(binary.connect)
                .await
                .expect("an open door"),
            request.into_bytes(),
        ));
        crowd.spawn(drip(enter(binary.connect).await, hello.clone()));
        // Gravimeter reaches its provider before it answers such a one, who then falls silent.
        let mut silent = enter(binary.connect).await;
        silent.write_all(&hello).await.expect("a hello");
        let to_provider = upstream
            .provider
            .accept()
            .await
            .expect("the provider is verified");
        crowd.spawn(async move {
            let mut answer = Vec::new();
            let _ = silent.read_to_end(&mut answer).await;
            drop(to_provider);
        });
        go_on(&mut agent, &mut provider).await;
    }
    upstream.call(&binary).await;
    soon(crowd.join_all()).await;
    for step in ["connect_request", "client_hello", "agent_handshake"] {
        binary
            .wait_for(
                "gravimeter_timeouts_total",
                &[&format!("\"{step}\"")],
                CROWD,
            )
            .await;
    }
    until(async || (binary.sum("gravimeter_connections_active", &[]).await == 1).then_some(()))
        .await;
    finish(&mut agent, &mut provider).await;
    binary.stop().await;
}

/// The exporter takes so many connections at a time: its own crowd makes others wait, but not for
/// ever.
#[tokio::test]
async fn who_drips_at_the_exporter_is_let_go_and_traffic_does_not_notice() {
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;
    let mut crowd = JoinSet::new();
    for _ in 0..2 * CROWD {
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}",
            "x".repeat(10_000)
        );
        crowd.spawn(drip(
            TcpStream::connect(binary.web).await.expect("an exporter"),
            head.into_bytes(),
        ));
        go_on(&mut agent, &mut provider).await;
    }
    upstream.call(&binary).await;
    assert!(
        soon(binary.ask("/metrics", ""))
            .await
            .starts_with("HTTP/1.1 200"),
        "a scrape has its turn"
    );
    soon(crowd.join_all()).await;
    finish(&mut agent, &mut provider).await;
    binary.stop().await;
}

/// More than could be waited for one after the other: those who have begun lose their places to
/// those who come after them.
#[tokio::test]
async fn a_scrape_comes_through_whoever_else_only_begins_a_request() {
    raise_open_files();
    let binary = Binary::start(&Upstream::start().await.flags(&[])).await;
    let mut crowd = Vec::new();
    for _ in 0..5 * ROOM {
        let mut slow = soon(TcpStream::connect(binary.web))
            .await
            .expect("an exporter");
        slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc")
            .await
            .expect("half a head");
        crowd.push(slow);
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert!(
            soon(binary.ask(path, "")).await.starts_with("HTTP/1.1 200"),
            "{path}"
        );
    }
    let cut = binary.sum("gravimeter_web_refusals_total", &["slow"]).await;
    assert!(
        cut >= 4 * ROOM as u64,
        "those who began first lost their places: {cut}"
    );
    drop(crowd);
    binary.stop().await;
}

/// Whoever is refused is told of in the log, until it is too often; then only how often is.
#[tokio::test]
async fn a_flood_of_refusals_leaves_a_short_log_that_says_what_it_lacks() {
    const REFUSED: u64 = 2000;
    let upstream = Upstream::start().await;
    let flags = ["--log.level", "debug", "--capture.redirect", "external"];
    let mut binary = Binary::start(&upstream.flags(&flags)).await;
    let redirect = redirect_door(&binary.log());
    for _ in 0..REFUSED {
        for (door, sent) in [
            (redirect, "x"),
            (binary.connect, "GET / HTTP/1.1\r\n\r\n"),
            (binary.web, "GET / HTTP/9\r\n\r\n"),
        ] {
            let mut tcp = TcpStream::connect(door).await.expect("an open door");
            // It may be closed before it has read anything.
            let _ = tcp.write_all(sent.as_bytes()).await;
            let _ = soon(tcp.read_to_end(&mut Vec::new())).await;
        }
    }
    binary
        .wait_for("gravimeter_connections_refused_total", &[], 2 * REFUSED)
        .await;
    binary.signal(Signal::TERM);
    assert!(binary.exit().await.success());
    let lines: Vec<serde_json::Value> = binary
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    for kind in ["to the redirect door", "to the CONNECT door", "was cut off"] {
        let is_of = |line: &serde_json::Value, field: &str| {
            line[field].as_str().is_some_and(|text| text.contains(kind))
        };
        let told = lines.iter().filter(|line| is_of(line, "message")).count() as u64;
        let left_out = lines
            .iter()
            .filter(|line| is_of(line, "like"))
            .filter_map(|line| line["left_out"].as_u64());
        assert_eq!(
            told + left_out.sum::<u64>(),
            REFUSED,
            "{kind}: every one is in one of the two"
        );
        assert!(told <= REFUSED / 4, "{kind}: {told} lines");
    }
    assert!(
        lines.iter().any(|line| line["message"] == "stopped"),
        "the end is told"
    );
}

/// Where redirected connections arrive, as the log says.
fn redirect_door(log: &str) -> std::net::SocketAddr {
    let said = log
        .lines()
        .find(|line| line.contains("\"listening\""))
        .expect("it listens");
    let said: serde_json::Value = serde_json::from_str(said).expect("JSON");
    let addresses = said["redirect"]
        .as_str()
        .expect("addresses")
        .trim_matches(['[', ']']);
    addresses
        .split(", ")
        .next()
        .and_then(|address| address.parse().ok())
        .expect("an address")
}

/// Sends a byte now and then until the other side has had enough.
async fn drip(tcp: TcpStream, bytes: Vec<u8>) {
    let (mut reader, mut writer) = tcp.into_split();
    let send = async {
        for byte in bytes {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let end = async {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
    };
    tokio::select! { () = send => {}, () = end => {} }
}

const ROOM: usize = 1000;

#[tokio::test]
async fn three_thousand_at_once_are_served_or_refused_and_none_hangs() {
    raise_open_files();
    let upstream = Upstream::start().await;
    let binary =
        Binary::start(&upstream.flags(&["--capture.max_connections", &ROOM.to_string()])).await;
    let mut crowd = JoinSet::new();
    for _ in 0..3 * ROOM {
        crowd.spawn(knock(binary.connect));
    }
    let answers = soon(crowd.join_all()).await;
    let served: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(served.len(), ROOM, "as many as there is room for");
    binary
        .wait_for(
            "gravimeter_connections_refused_total",
            &["overload"],
            2 * ROOM as u64,
        )
        .await;
    drop(served);
    until(async || {
        (binary
            .sum("gravimeter_connections_refused_total", &["agent_gone"])
            .await
            == ROOM as u64)
            .then_some(())
    })
    .await;
    upstream.call(&binary).await;
    binary.stop().await;
}

/// The connection when the door was opened, nothing when it was shut.
async fn knock(door: std::net::SocketAddr) -> Option<TcpStream> {
    let mut tcp = TcpStream::connect(door)
        .await
        .expect("the kernel's backlog takes it");
    let request = format!("CONNECT {CLOUD_CODE_HOST}:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.ok()?;
    let mut answer = [0; 12];
    tcp.read_exact(&mut answer).await.ok()?;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Some(tcp)
}

/// Agents and providers of a crowd are all in this process.
pub fn raise_open_files() {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the hard limit");
}
