//! HTTP/1.1: heads keep their order and case, bodies their bytes, and each message its framing.

use gravimeter::observe::End;
use gravimeter::record::{Disposition, Fact};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{options, read_head, send, start};
use crate::kit::{Gravimeter, GravimeterOptions, read_all, read_some, soon, write_pieces};

/// Requests of agents, as they stand on the wire, that pass to the byte.
const REQUESTS: [&str; 6] = [
    "GET /v1/models?limit=1 HTTP/1.1\r\nHost: api.example.com\r\nuser-agent: x\r\nX-Mixed-CASE: a  b\r\nX-Mixed-CASE: c\r\n\r\n",
    "POST /v1/messages HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 13\r\nAccept-Encoding: gzip, br\r\n\r\n{\"model\":\"m\"}",
    "POST /empty HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\n\r\n",
    "POST /chunked HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /trailers HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n",
    "DELETE /v1/files/%2F..%5C?a=b&&c HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
];

/// Answers of providers, likewise.
const ANSWERS: [&str; 6] = [
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-ID: 1\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 529 Site Is Overloaded\r\nretry-after: 7\r\nContent-Length: 4\r\n\r\nbusy",
    "HTTP/1.1 204 No Content\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: zstd\r\n\r\n4\r\n\u{1}\u{2}\u{3}\u{4}\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
];

#[tokio::test]
async fn messages_that_no_rule_changes_pass_to_the_byte() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    for (request, answer) in REQUESTS.iter().zip(ANSWERS) {
        send(&mut agent, request).await;
        let sent = read_some(&mut provider, request.len()).await;
        assert_eq!(String::from_utf8(sent).expect("text"), *request);
        send(&mut provider, answer).await;
        let received = read_some(&mut agent, answer.len()).await;
        assert_eq!(String::from_utf8(received).expect("text"), answer);
    }
    agent.shutdown().await.expect("an end in order");
    assert_eq!(read_all(&mut provider).await, (Vec::new(), true));
    let seen = gravimeter.seen().await;
    assert_eq!(seen.sent, REQUESTS.concat().as_bytes());
    assert_eq!(seen.received, ANSWERS.concat().as_bytes());
    assert_eq!(seen.end, Some(End::Closed));
    let passed = (
        REQUESTS.concat().len() as u64,
        ANSWERS.concat().len() as u64,
    );
    assert_eq!(gravimeter.facts.bytes(), passed);
    gravimeter.close().await;
}

#[tokio::test]
async fn a_rule_that_sets_a_field_changes_nothing_else() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    for (request, answer) in REQUESTS.iter().zip(ANSWERS) {
        let request = request.replacen("\r\n\r\n", "\r\nX-Mark-Me: 1\r\n\r\n", 1);
        // Only calls of models have rules.
        let sent = if request.starts_with("POST /v1/messages ") {
            request.replacen("\r\n\r\n", "\r\nx-marked: yes\r\n\r\n", 1)
        } else {
            request.clone()
        };
        send(&mut agent, &request).await;
        let read = read_some(&mut provider, sent.len()).await;
        assert_eq!(String::from_utf8(read).expect("text"), sent);
        send(&mut provider, answer).await;
        let received = read_some(&mut agent, answer.len()).await;
        assert_eq!(String::from_utf8(received).expect("text"), answer);
    }
    gravimeter.close().await;
}

/// What of a message is written another way on this path, as docs/rules.md lists it.
#[tokio::test]
async fn what_means_the_same_may_be_written_another_way() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let host = "Host: api.example.com\r\n";
    let asked = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    for (request, sent, answer, received) in [
        (
            format!("GET / HTTP/1.1\r\n{host}A:  1 \t\r\nB: 2\r\na: 3\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{host}A: 1\r\na: 3\r\nB: 2\r\n\r\n"),
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        ),
        (
            asked.to_owned(),
            asked.to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00a;x=y\r\n0123456789\r\n000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        ),
    ] {
        send(&mut agent, &request).await;
        assert_eq!(read_head(&mut provider).await, sent);
        send(&mut provider, answer).await;
        let read = read_some(&mut agent, received.len()).await;
        assert_eq!(String::from_utf8(read).expect("text"), received);
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn the_head_of_an_answer_to_head_keeps_its_length() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let request = "HEAD / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    send(&mut agent, request).await;
    assert_eq!(read_head(&mut provider).await, request);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n";
    send(&mut provider, answer).await;
    assert_eq!(read_head(&mut agent).await, answer);
    gravimeter.close().await;
}

#[tokio::test]
async fn every_piece_of_a_stream_goes_on_at_once() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head = "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    send(&mut agent, head).await;
    assert_eq!(read_head(&mut provider).await, head);
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    send(&mut provider, answer).await;
    assert_eq!(read_head(&mut agent).await, answer);
    for round in 0..50 {
        // Each side waits for the other: one byte kept back would be the end.
        let piece = format!("{:X}\r\n{}\r\n", round + 1, "x".repeat(round + 1));
        send(&mut agent, &piece).await;
        assert_eq!(
            read_some(&mut provider, piece.len()).await,
            piece.as_bytes()
        );
        send(&mut provider, &piece).await;
        assert_eq!(read_some(&mut agent, piece.len()).await, piece.as_bytes());
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn an_answer_may_come_before_the_end_of_the_request() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head = "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 20\r\n\r\n";
    send(&mut agent, head).await;
    assert_eq!(read_head(&mut provider).await, head);
    let answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!";
    send(&mut provider, answer).await;
    assert_eq!(read_some(&mut agent, answer.len()).await, answer.as_bytes());
    // The rest of the body still goes where it was going.
    write_pieces(&mut agent, &[b'x'; 20], &[usize::MAX], false).await;
    assert_eq!(read_some(&mut provider, 20).await, [b'x'; 20]);
    gravimeter.close().await;
}

#[tokio::test]
async fn the_word_to_go_on_is_the_providers() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head = "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    send(&mut agent, head).await;
    assert_eq!(read_head(&mut provider).await, head);
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    send(&mut provider, early).await;
    assert_eq!(read_head(&mut agent).await, early);
    send(&mut provider, "HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(read_head(&mut agent).await, "HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut agent, "{}").await;
    assert_eq!(read_some(&mut provider, 2).await, b"{}");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    send(&mut provider, answer).await;
    assert_eq!(read_head(&mut agent).await, answer);

    // One who refuses is not sent the body.
    send(&mut agent, head).await;
    assert_eq!(read_head(&mut provider).await, head);
    let refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    send(&mut provider, refusal).await;
    assert!(read_head(&mut agent).await.starts_with("HTTP/1.1 401 "));
    gravimeter.close().await;
}

#[tokio::test]
async fn fields_of_one_connection_stay_on_it() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head = "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\
                Keep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-End: 2\r\n\r\n";
    send(&mut agent, head).await;
    let sent = read_head(&mut provider).await;
    assert!(sent.contains("\r\nX-End: 2\r\n"), "{sent}");
    for gone in ["connection", "x-hop:", "keep-alive", "upgrade"] {
        assert!(!sent.to_lowercase().contains(gone), "{gone}: {sent}");
    }
    // The provider's last answer is the agent's last one, too.
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    send(&mut provider, answer).await;
    let head = read_head(&mut agent).await;
    assert!(head.to_lowercase().contains("connection: close"), "{head}");
    assert_eq!(read_all(&mut agent).await, (b"ok".to_vec(), true));
    gravimeter.close().await;
}

#[tokio::test]
async fn a_websocket_passes_once_the_provider_has_agreed() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head = "GET /v1/responses HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Key: k\r\n\r\n";
    send(&mut agent, head).await;
    let asked = read_head(&mut provider).await.to_lowercase();
    assert!(
        asked.contains("connection: upgrade") && asked.contains("upgrade: websocket"),
        "{asked}"
    );
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: a\r\n\r\n";
    // The first frame comes together with the head.
    let both = [agreed.as_bytes(), b"\x81\x01x"].concat();
    write_pieces(&mut provider, &both, &[usize::MAX], false).await;
    let agreed = read_head(&mut agent).await;
    assert!(agreed.starts_with("HTTP/1.1 101 "), "{agreed}");
    assert_eq!(read_some(&mut agent, 3).await, b"\x81\x01x");
    for round in 0..200_usize {
        let frame = vec![u8::try_from(round).expect("small"); round * 37 % 900 + 1];
        write_pieces(&mut agent, &frame, &[usize::MAX], false).await;
        assert_eq!(read_some(&mut provider, frame.len()).await, frame);
        write_pieces(&mut provider, &frame, &[usize::MAX], false).await;
        assert_eq!(read_some(&mut agent, frame.len()).await, frame);
    }
    provider.shutdown().await.expect("an end in order");
    agent.shutdown().await.expect("an end in order");
    assert_eq!(read_all(&mut agent).await, (Vec::new(), true));
    let seen = gravimeter.seen().await;
    assert_eq!(seen.end, Some(End::Closed));
    assert!(
        seen.received
            .starts_with(agreed.as_bytes().get(..20).expect("a head"))
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn an_upgrade_that_is_refused_leaves_http_as_it_was() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head = "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let next = "GET /next HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    // What stands behind the request is a request, until the provider has agreed to anything else.
    send(&mut agent, &[head, next].concat()).await;
    read_head(&mut provider).await;
    let refusal = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";
    send(&mut provider, refusal).await;
    assert!(read_head(&mut agent).await.starts_with("HTTP/1.1 426 "));
    assert_eq!(read_head(&mut provider).await, next);
    gravimeter.close().await;
}

/// More than every buffer on the way together.
const HUGE: usize = 64 << 20;

#[tokio::test]
async fn a_huge_body_is_held_back_by_the_one_who_does_not_read_it() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        keep: false,
        ..options()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head =
        format!("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: {HUGE}\r\n\r\n");
    send(&mut agent, &head).await;
    assert_eq!(read_head(&mut provider).await, head);
    let (mut sent, piece) = (0, vec![7; 1 << 16]);
    // Nobody reads: the agent must come to a stop long before the end.
    let stopped = loop {
        let write = agent.write_all(&piece);
        if tokio::time::timeout(std::time::Duration::from_millis(500), write)
            .await
            .is_err()
        {
            break sent;
        }
        sent += piece.len();
        assert!(sent < HUGE / 2, "held back");
    };
    assert!(stopped > 0);
    gravimeter.close().await;
}

#[tokio::test]
async fn a_huge_body_passes_both_ways() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        keep: false,
        ..options()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let head =
        format!("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: {HUGE}\r\n\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n");
    let at_provider = async {
        read_head(&mut provider).await;
        let mut body = vec![0; 1 << 20];
        let mut sum = 0_u64;
        for _ in 0..HUGE / body.len() {
            soon(provider.read_exact(&mut body)).await.expect("a body");
            sum += body.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        send(&mut provider, &answer).await;
        write_pieces(&mut provider, &vec![3; HUGE], &[1 << 20], false).await;
        sum
    };
    let at_agent = async {
        send(&mut agent, &head).await;
        write_pieces(&mut agent, &vec![7; HUGE], &[1 << 20], false).await;
        assert_eq!(read_head(&mut agent).await, answer);
        let body = read_some(&mut agent, HUGE).await;
        body.iter().filter(|byte| **byte == 3).count()
    };
    let (sum, count) = tokio::join!(at_provider, at_agent);
    assert_eq!((sum, count), (7 * HUGE as u64, HUGE));
    gravimeter.close().await;
}

#[tokio::test]
async fn a_drain_ends_connections_between_exchanges_and_open_ones_at_their_end() {
    let gravimeter = start().await;
    let (mut idle, _idle_provider) = gravimeter.pair().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let request = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    send(&mut agent, request).await;
    read_head(&mut provider).await;
    gravimeter.shutdown.drain.cancel();
    assert_eq!(
        read_all(&mut idle).await,
        (Vec::new(), true),
        "ended in order"
    );
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    send(&mut provider, answer).await;
    let (received, in_order) = read_all(&mut agent).await;
    assert!(received.ends_with(b"ok") && in_order);
    let closed = Fact::ConnectionClosed(Disposition::Intercepted);
    gravimeter.facts.wait_until(&closed, 2).await;
    gravimeter.close().await;
}
