//! JSON messages one after another.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::kit::{
    self, Body, Server, TOKEN, TOKEN_FIELD, client, client_with, frame, self_signed, serve,
};
use crate::cascade::client::dial::READ_BUFFER;
use crate::cascade::client::{Client, JsonStream, Malformation, Method, RpcError};

const JSON: &str = "application/connect+json";

async fn open(client: &Client) -> Result<JsonStream, RpcError> {
    client
        .stream(
            Method::StreamAgentStateUpdates,
            &json!({"conversationId": "c"}),
        )
        .await
}

/// The next message, or how the stream ended.
async fn next(stream: &mut JsonStream) -> Result<Option<String>, RpcError> {
    let mut message = Vec::new();
    let end = stream
        .next(&mut |piece| message.extend_from_slice(piece))
        .await?;
    Ok(end.map(|()| String::from_utf8(message).expect("JSON")))
}

async fn stream_of(body: Vec<u8>) -> (Server, JsonStream) {
    let server = serve(None, move |_| {
        let mut answer = kit::answer(200, JSON, body.clone());
        answer
            .headers_mut()
            .insert("connect-content-encoding", "gzip".parse().expect("a value"));
        async { answer }
    })
    .await;
    let stream = open(&client(Some(&server), None)).await.expect("a stream");
    (server, stream)
}

fn message(text: &str) -> Result<Option<String>, RpcError> {
    Ok(Some(text.into()))
}

async fn strict(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let field = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let body = body.collect().await.expect("a body").to_bytes();
    let is_right = field(TOKEN_FIELD) == TOKEN
        && head.uri == *"/exa.language_server_pb.LanguageServerService/StreamAgentStateUpdates"
        && field("content-type") == JSON
        && field("connect-accept-encoding") == "gzip"
        && !head.headers.contains_key("accept-encoding")
        && body == frame(0, br#"{"conversationId":"c"}"#);
    match is_right {
        true => kit::answer(
            200,
            JSON,
            [frame(0, b"{\"a\":1}"), frame(2, b"{}")].concat(),
        ),
        false => kit::json(400, r#"{"code":"invalid_argument"}"#),
    }
}

#[tokio::test]
async fn the_request_is_a_frame_with_the_token() {
    for tls in [None, Some(self_signed(&["http/1.1"]))] {
        let is_https = tls.is_some();
        let server = serve(tls, strict).await;
        let (http, https) = if is_https {
            (None, Some(&server))
        } else {
            (Some(&server), None)
        };
        let mut stream = open(&client(http, https)).await.expect("a stream");
        assert_eq!(next(&mut stream).await, message(r#"{"a":1}"#));
        assert_eq!(next(&mut stream).await, Ok(None));
    }
}

#[tokio::test]
async fn messages_come_one_by_one_and_the_end_stays_the_end() {
    let body = [
        frame(0, b"{\"a\":1}"),
        frame(0, b""),
        frame(0, b"{\"b\":2}"),
        frame(2, b"{}"),
    ]
    .concat();
    let (_server, mut stream) = stream_of(body).await;
    assert_eq!(next(&mut stream).await, message(r#"{"a":1}"#));
    assert_eq!(next(&mut stream).await, message(""));
    assert_eq!(next(&mut stream).await, message(r#"{"b":2}"#));
    assert_eq!(next(&mut stream).await, Ok(None));
    assert_eq!(next(&mut stream).await, Ok(None));
}

#[tokio::test]
async fn compressed_frames_are_read() {
    let body = [
        frame(1, &kit::gzip(b"{\"a\":1}")),
        frame(0, b"{}"),
        frame(1, &kit::gzip(b"{\"b\":2}")),
        frame(3, &kit::gzip(b"{}")),
    ];
    let (_server, mut stream) = stream_of(body.concat()).await;
    assert_eq!(next(&mut stream).await, message(r#"{"a":1}"#));
    assert_eq!(next(&mut stream).await, message("{}"));
    assert_eq!(next(&mut stream).await, message(r#"{"b":2}"#));
    assert_eq!(next(&mut stream).await, Ok(None));
}

#[tokio::test]
async fn a_switched_off_stream_says_so_at_its_end() {
    let end = br#"{"error":{"code":"unknown","message":"reactive state is disabled"}}"#;
    let (_server, mut stream) = stream_of(frame(2, end)).await;
    let error = next(&mut stream).await.unwrap_err();
    assert_eq!(error, RpcError::Disabled);
    assert!(error.is_missing());
    assert_eq!(
        next(&mut stream).await,
        Err(RpcError::Disabled),
        "and goes on saying so"
    );
}

#[tokio::test]
async fn an_error_instead_of_a_stream_is_read() {
    let server = serve(None, |_| async {
        kit::answer(404, "text/plain", "404 page not found")
    })
    .await;
    assert_eq!(
        open(&client(Some(&server), None)).await.err(),
        Some(RpcError::Unimplemented)
    );
    let server = serve(None, |_| async { kit::json(200, "{}") }).await;
    let malformed = RpcError::Malformed(Malformation::ContentType);
    assert_eq!(
        open(&client(Some(&server), None)).await.err(),
        Some(malformed)
    );
}

#[tokio::test]
async fn a_stream_that_stops_anywhere_is_truncated() {
    let whole = [frame(0, b"{\"a\":1}"), frame(2, b"{}")].concat();
    for length in 0..whole.len() {
        let cut = [kit::head(JSON), whole[..length].to_vec()].concat();
        let server = kit::raw(cut).await;
        let mut stream = open(&client(Some(&server), None)).await.expect("a stream");
        let end = loop {
            match next(&mut stream).await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert_eq!(end, Err(RpcError::Truncated), "after {length} bytes");
    }
}

#[tokio::test]
async fn what_is_no_frame_is_malformed() {
    let cases = [
        (frame(4, b"{}"), Malformation::Frame),
        (frame(0x80, b"{}"), Malformation::Frame),
        (frame(1, b"not gzip at all"), Malformation::Coding),
        (frame(1, &kit::gzip(b"{}")[..12]), Malformation::Coding),
        (frame(2, b"no JSON"), Malformation::Message),
        (frame(2, &vec![b' '; 65 << 10]), Malformation::TooLarge),
    ];
    for (body, expected) in cases {
        let (_server, mut stream) = stream_of(body).await;
        assert_eq!(next(&mut stream).await, Err(RpcError::Malformed(expected)));
    }
    // Compressed, although the answer named no compression.
    let body = frame(1, &kit::gzip(b"{}"));
    let server = serve(None, move |_| {
        let answer = kit::answer(200, JSON, body.clone());
        async { answer }
    })
    .await;
    let mut stream = open(&client(Some(&server), None)).await.expect("a stream");
    assert_eq!(
        next(&mut stream).await,
        Err(RpcError::Malformed(Malformation::Frame))
    );
}

/// One frame of 64 MiB, plain or compressed, and the end.
async fn large(compressed: bool) -> Server {
    let text: String = (0_u32..9_000_000)
        .map(|number| format!("{number},"))
        .collect();
    let payload = text.into_bytes()[..64 << 20].to_vec();
    let first = if compressed {
        frame(1, &kit::gzip(&payload))
    } else {
        frame(0, &payload)
    };
    let (first, end) = (Bytes::from(first), Bytes::from(frame(2, b"{}")));
    serve(None, move |_| {
        let mut answer = kit::answer(200, JSON, "");
        answer
            .headers_mut()
            .insert("connect-content-encoding", "gzip".parse().expect("a value"));
        *answer.body_mut() = kit::frames([Frame::data(first.clone()), Frame::data(end.clone())]);
        async { answer }
    })
    .await
}

#[tokio::test]
async fn a_large_frame_comes_in_small_pieces() {
    for compressed in [false, true] {
        let server = large(compressed).await;
        let mut stream = open(&client(Some(&server), None)).await.expect("a stream");
        let (mut bytes, mut longest) = (0, 0);
        let mut on =
            |piece: &[u8]| (bytes, longest) = (bytes + piece.len(), longest.max(piece.len()));
        assert_eq!(stream.next(&mut on).await, Ok(Some(())));
        assert_eq!(bytes, 64 << 20);
        assert!(longest <= READ_BUFFER, "{longest}");
        assert_eq!(next(&mut stream).await, Ok(None));
    }
}

#[tokio::test]
async fn an_abandoned_wait_loses_nothing_and_an_abandoned_stream_leaves_nothing() {
    let begun = Bytes::from(frame(0, b"{\"a\":1}")).slice(..8);
    let server = serve(None, move |_| {
        let mut answer = kit::answer(200, JSON, "");
        *answer.body_mut() = kit::unfinished(begun.clone());
        async { answer }
    })
    .await;
    let tasks = TaskTracker::new();
    let mut stream = open(&client_with(tasks.clone(), Some(&server), None))
        .await
        .expect("a stream");
    let heard = std::sync::Mutex::new(Vec::new());
    // Each wait is given up as soon as it has to wait.
    while heard.lock().expect("bytes").len() < 3 {
        let mut on = |piece: &[u8]| heard.lock().expect("bytes").extend_from_slice(piece);
        tokio::select! {
            biased;
            end = stream.next(&mut on) => panic!("{end:?} in the middle of a message"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(*heard.lock().expect("bytes"), b"{\"a");
    assert!(!tasks.is_empty(), "the connection is alive");
    drop(stream);
    tasks.close();
    tasks.wait().await;
}
