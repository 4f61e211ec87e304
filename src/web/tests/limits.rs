use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::kit::{Answer, Gravimeter};
use crate::export::tests::kit::{call, value};
use crate::web::Config;

const SHORT: Duration = Duration::from_millis(50);
/// What waits for a limit of [`SHORT`] waits for this before it calls the limit missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Enough models that an exposition does not fit into the buffers of a loopback connection.
fn fill(gravimeter: &Gravimeter) {
    (0..200).for_each(|n| gravimeter.took(call(&format!("{n:0>100}"))));
}

#[tokio::test]
async fn an_unfinished_request_head_is_not_waited_for() {
    let gravimeter = Gravimeter::with(Config {
        header_read_timeout: SHORT,
        ..Config::default()
    })
    .await;
    let mut slow = gravimeter.connect().await;
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc")
        .await
        .expect("half a head");
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, slow.read_to_end(&mut answer))
        .await
        .expect("an end");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(gravimeter.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_reader_that_stalls_is_let_go() {
    let gravimeter = Gravimeter::with(Config {
        stall_timeout: SHORT,
        max_connections: 1,
        ..Config::default()
    })
    .await;
    fill(&gravimeter);
    let mut stalled = gravimeter.connect().await;
    stalled
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    stalled.readable().await.expect("the answer begins");
    let next = timeout(PATIENCE, gravimeter.get("/healthz"))
        .await
        .expect("the only place is free again");
    assert_eq!(next.status, 200);
    let mut answer = Vec::new();
    let _ = stalled.read_to_end(&mut answer).await;
    let answer = Answer::read(&answer);
    assert!(answer.body.len() < answer.headers["content-length"].parse().expect("a length"));
}

#[tokio::test]
async fn scrapes_beyond_the_limit_are_turned_away_and_counted() {
    let gravimeter = Gravimeter::with(Config {
        max_concurrent_scrapes: 1,
        ..Config::default()
    })
    .await;
    fill(&gravimeter);
    let mut slow = gravimeter.connect().await;
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    slow.readable().await.expect("the answer begins");
    let refused = gravimeter.get("/metrics").await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (503, "busy")
    );
    assert_eq!(gravimeter.get("/v1/usage").await.status, 200);
    assert_eq!(
        value(
            &gravimeter.metrics,
            "gravimeter_scrapes_rejected_total",
            &[]
        ),
        Some(1.0)
    );
    drop(slow);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_those_that_are_answered_and_for_no_others() {
    let gravimeter = Gravimeter::with(Config {
        max_connections: 1,
        ..Config::default()
    })
    .await;
    fill(&gravimeter);
    let mut idle = gravimeter.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    idle.readable().await.expect("an answer");
    let mut first = gravimeter.connect().await;
    first
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    first
        .readable()
        .await
        .expect("an answer, which does not fit into the buffers");
    let mut second = gravimeter.connect().await;
    second
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    assert_eq!(
        gravimeter.tracker.len(),
        2,
        "the listener and one connection"
    );
    drop(first);
    second.readable().await.expect("an answer");
    let mut answer = [0; 15];
    second.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn answers_beyond_the_limit_are_turned_away_and_scrapes_and_health_are_not() {
    let gravimeter = Gravimeter::with(Config {
        max_concurrent_answers: 1,
        ..Config::default()
    })
    .await;
    fill(&gravimeter);
    (0..20_000).for_each(|n| gravimeter.took(call(&format!("{n}"))));
    let mut slow = gravimeter.connect().await;
    let request = b"GET /v1/usage HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for _ in 0..20 {
        slow.write_all(request)
            .await
            .expect("requests whose answers no buffer takes");
    }
    slow.readable().await.expect("the answer begins");
    let refused = gravimeter.get("/v1/usage").await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (503, "busy")
    );
    for path in ["/metrics", "/healthz", "/live"] {
        let mut stream = gravimeter.connect().await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("a request");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200", "{path}");
    }
    assert_eq!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=busy"]
        ),
        Some(1.0)
    );
    drop(slow);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let gravimeter = Gravimeter::open().await;
    let mut stream = gravimeter.connect().await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_the_listener() {
    let gravimeter = Gravimeter::open().await;
    let mut idle = gravimeter.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    idle.readable().await.expect("an answer");
    gravimeter.shutdown.cancel();
    gravimeter.tracker.close();
    gravimeter.tracker.wait().await;
    assert!(
        tokio::net::TcpStream::connect(gravimeter.addr)
            .await
            .is_err()
    );
}

/// Reads a byte now and then, so that no limit on standing still ever applies.
async fn drip(mut stream: TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1..)) {
        tokio::time::sleep(SHORT).await;
    }
}

#[tokio::test]
async fn an_answer_that_drips_away_is_cut_off() {
    let config = Config {
        answer_timeout: SHORT,
        max_connections: 1,
        ..Config::default()
    };
    let gravimeter = Gravimeter::with(config).await;
    fill(&gravimeter);
    let mut slow = gravimeter.connect().await;
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    slow.readable().await.expect("the answer begins");
    timeout(PATIENCE, drip(slow)).await.expect("an end");
    assert_eq!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=slow"]
        ),
        Some(1.0)
    );
    assert_eq!(gravimeter.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn two_hundred_slow_scrapers_do_not_keep_a_healthy_one_out() {
    let forever = Duration::from_secs(3600);
    let limits = Config {
        stall_timeout: forever,
        answer_timeout: forever,
        ..Config::default()
    };
    let gravimeter = Gravimeter::with(Config {
        header_read_timeout: forever,
        request_timeout: forever,
        ..limits
    })
    .await;
    fill(&gravimeter);
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut stream = gravimeter.connect().await;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("a request");
        slow.spawn(drip(stream));
    }
    let scraped = async {
        loop {
            match gravimeter.get("/metrics").await {
                Answer {
                    status: 200, body, ..
                } => return body,
                busy => assert_eq!(busy.error_code(), "busy", "turned away, not forgotten"),
            }
        }
    };
    let body = timeout(PATIENCE, scraped).await.expect("a place in time");
    assert!(body.ends_with(b"\n"), "whole");
    assert!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=slow"]
        ) > Some(0.0)
    );
}
