//! What could be understood in two ways is refused before a byte of it reaches the provider, and an
//! answer of that sort never looks like two.

use gravimeter::record::{Fact, RefuseReason, TimeoutStep};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

use super::{options, read_head, start};
use crate::kit::{Gravimeter, GravimeterOptions, read_all, write_pieces};

/// Requests of two meanings, or none.
const AMBIGUOUS: [&str; 20] = [
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "\x16\x03\x01\x02\r\n\r\n",
];

/// Requests that are answered by ourselves.
const ANSWERED: [(&str, &str); 7] = [
    ("GET / HTTP/1.1\r\n\r\n", "400"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
    (
        "GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "400",
    ),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Authorization\r\nAuthorization: b\r\n\r\n",
        "400",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\nContent-Length: 0\r\n\r\n",
        "400",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tls/1.0\r\n\r\n",
        "400",
    ),
];

#[tokio::test]
async fn nothing_of_an_ambiguous_request_reaches_the_provider() {
    let gravimeter = start().await;
    for (number, request) in (1..).zip(AMBIGUOUS) {
        for sizes in [&[usize::MAX][..], &[1]] {
            let (mut agent, mut provider) = gravimeter.pair().await;
            write_pieces(&mut agent, request.as_bytes(), sizes, false).await;
            let (sent, _) = read_all(&mut provider).await;
            assert_eq!(sent, b"", "{request:?}");
            let (answer, _) = read_all(&mut agent).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
                "{answer}"
            );
            drop((agent, provider));
            assert_eq!(gravimeter.seen().await.sent, b"", "{request:?}");
        }
        let refused = Fact::ConnectionRefused(RefuseReason::BadRequest);
        gravimeter.facts.wait_until(&refused, 2 * number).await;
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn what_may_not_be_forwarded_is_answered_with_the_reason() {
    let gravimeter = start().await;
    for (request, status) in ANSWERED {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, request.as_bytes(), &[usize::MAX], false).await;
        let answer = read_head(&mut agent).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
        agent.shutdown().await.expect("an end in order");
        assert_eq!(read_all(&mut provider).await.0, b"", "{request:?}");
    }
    gravimeter.close().await;
}

/// Answers that are malformed, cut off, or two at once.
const ANSWERS: [&str; 8] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\nab",
    "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9\r\n\r\nab",
    "\r\n\0\x01",
];

#[tokio::test]
async fn a_malformed_answer_never_looks_complete() {
    let gravimeter = start().await;
    for answer in ANSWERS {
        let (mut agent, mut provider) = gravimeter.pair().await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        write_pieces(&mut agent, request.as_bytes(), &[usize::MAX], false).await;
        read_head(&mut provider).await;
        write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], false).await;
        let (received, in_order) = read_all(&mut agent).await;
        assert!(
            !in_order,
            "{answer:?}: {}",
            String::from_utf8_lossy(&received)
        );
        drop(provider);
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn a_second_answer_is_never_one_to_the_next_request() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    write_pieces(&mut agent, request.as_bytes(), &[usize::MAX], false).await;
    read_head(&mut provider).await;
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    let two = [one, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nforged!"].concat();
    write_pieces(&mut provider, two.as_bytes(), &[usize::MAX], false).await;
    let (received, _) = read_all(&mut agent).await;
    let received = String::from_utf8(received).expect("text");
    assert!(received.ends_with("\r\n\r\na"), "{received}");
    gravimeter.close().await;
}

#[tokio::test]
async fn a_head_that_does_not_go_on_ends_the_connection() {
    let mut options = options();
    options.timeouts.request_head = Duration::from_millis(200);
    let gravimeter = Gravimeter::with(GravimeterOptions { ..options }).await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    write_pieces(&mut agent, b"GET / HTTP/1.1\r\nHost:", &[usize::MAX], false).await;
    assert_eq!(read_all(&mut agent).await.0, b"");
    assert_eq!(read_all(&mut provider).await.0, b"");
    let late = Fact::TimedOut(TimeoutStep::RequestHead);
    gravimeter.facts.wait_for(late).await;
    gravimeter.close().await;
}
