//! Interim responses and trailers: what HTTP carries beside the head and the body of a message.

use tokio::io::AsyncWriteExt as _;

use super::{read_head, read_until, send, start};
use crate::kit::{Gravimeter, read_all, read_some, soon};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";

#[tokio::test]
async fn interim_responses_pass_at_once_and_in_their_order() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    for _ in 0..3 {
        send(&mut agent, REQUEST).await;
        assert_eq!(read_head(&mut provider).await, REQUEST);
        // Each is there before the provider says anything more.
        for interim in [HINTS, PROCESSING, HINTS] {
            send(&mut provider, interim).await;
            assert_eq!(read_head(&mut agent).await, interim);
        }
        // One that comes together with the answer comes before it.
        send(&mut provider, &[PROCESSING, HINTS, ANSWER].concat()).await;
        for interim in [PROCESSING, HINTS] {
            assert_eq!(read_head(&mut agent).await, interim);
        }
        assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER.as_bytes());
    }
    drop(agent);
    let received = [HINTS, PROCESSING, HINTS, PROCESSING, HINTS, ANSWER].concat();
    assert_eq!(
        gravimeter.seen().await.received,
        received.repeat(3).as_bytes()
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn the_answer_before_does_not_mix_with_an_interim_response() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    // More than the sockets take, so that its end waits here while the next answer comes.
    const LENGTH: usize = 16 << 20;
    send(&mut agent, &REQUEST.repeat(2)).await;
    assert_eq!(read_head(&mut provider).await, REQUEST);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let (to_agent, ()) = tokio::join!(
        async {
            assert_eq!(read_head(&mut agent).await, head);
            let body = read_some(&mut agent, LENGTH).await;
            assert!(
                body.iter().all(|byte| *byte == b'x'),
                "nothing is in between"
            );
            for interim in [HINTS, PROCESSING] {
                assert_eq!(read_head(&mut agent).await, interim);
            }
            read_some(&mut agent, ANSWER.len()).await
        },
        async {
            send(&mut provider, &head).await;
            send(&mut provider, &"x".repeat(LENGTH)).await;
            assert_eq!(read_head(&mut provider).await, REQUEST);
            send(&mut provider, &[HINTS, PROCESSING, ANSWER].concat()).await;
        }
    );
    assert_eq!(to_agent, ANSWER.as_bytes());
    gravimeter.close().await;
}

#[tokio::test]
async fn an_interim_response_has_no_body_and_no_field_of_the_connection() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    send(&mut agent, REQUEST).await;
    read_head(&mut provider).await;
    let odd = "HTTP/1.1 103 Early Hints\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 9\r\nX-End: 2\r\n\r\n";
    send(&mut provider, &[odd, ANSWER].concat()).await;
    let expected = "HTTP/1.1 103 Early Hints\r\nx-end: 2\r\n\r\n";
    assert_eq!(read_head(&mut agent).await, expected);
    assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER.as_bytes());
    gravimeter.close().await;
}

#[tokio::test]
async fn an_agent_of_http_1_0_gets_no_interim_response() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    send(
        &mut agent,
        "GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n",
    )
    .await;
    read_head(&mut provider).await;
    send(&mut provider, &[HINTS, ANSWER].concat()).await;
    let head = read_head(&mut agent).await;
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    gravimeter.close().await;
}

#[tokio::test]
async fn a_flood_of_interim_responses_ends_at_an_agent_that_does_not_read() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    send(&mut agent, REQUEST).await;
    read_head(&mut provider).await;
    let many = HINTS.repeat(1000);
    // It would go on for ever if it was held back, or dropped.
    soon(async { while provider.write_all(many.as_bytes()).await.is_ok() {} }).await;
    let (received, in_order) = read_all(&mut agent).await;
    assert!(!in_order, "an answer is missing");
    let whole = received.len() / HINTS.len() * HINTS.len();
    assert_eq!(
        received[..whole],
        *HINTS.repeat(whole / HINTS.len()).as_bytes()
    );
    gravimeter.close().await;
}

/// A message with trailers, with this field in its head.
fn with_trailers(start: &str, announced: &str) -> String {
    format!(
        "{start}Transfer-Encoding: chunked\r\n{announced}\r\n2\r\nok\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n"
    )
}

async fn trailers(gravimeter: &Gravimeter, asks: &str, announced: &str) -> (String, String) {
    let (mut agent, mut provider) = gravimeter.pair().await;
    let start = format!("POST / HTTP/1.1\r\nHost: api.example.com\r\n{asks}");
    send(&mut agent, &with_trailers(&start, announced)).await;
    read_head(&mut provider).await;
    let at_provider = end_of_body(&mut provider).await;
    let start = "HTTP/1.1 200 OK\r\n";
    send(&mut provider, &with_trailers(start, announced)).await;
    read_head(&mut agent).await;
    let at_agent = end_of_body(&mut agent).await;
    // The connection goes on with the next request.
    send(&mut agent, REQUEST).await;
    assert_eq!(read_head(&mut provider).await, REQUEST);
    (at_provider, at_agent)
}

/// What stands behind the one chunk.
async fn end_of_body(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    assert_eq!(read_some(stream, 7).await, b"2\r\nok\r\n");
    let end = read_until(stream, b"\r\n\r\n").await;
    String::from_utf8(end).expect("text")
}

#[tokio::test]
async fn announced_trailers_pass_and_others_end_with_the_body() {
    let gravimeter = start().await;
    let asks = "TE: trailers\r\nConnection: TE\r\n";
    let (none, both) = ("0\r\n\r\n", "0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n");
    for (asks, announced, to_provider, to_agent) in [
        (asks, "Trailer: x-sum, x-more\r\n", both, both),
        (
            asks,
            "Trailer: x-sum\r\n",
            "0\r\nx-sum: 1\r\n\r\n",
            "0\r\nx-sum: 1\r\n\r\n",
        ),
        (asks, "", none, none),
        // An agent that does not say that it reads them gets none.
        ("", "Trailer: x-sum, x-more\r\n", both, none),
    ] {
        let passed = trailers(&gravimeter, asks, announced).await;
        let expected = (to_provider.to_owned(), to_agent.to_owned());
        assert_eq!(passed, expected, "{asks:?} {announced:?}");
    }
    gravimeter.close().await;
}
