//! The reactive stream over gRPC and over Connect.

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use prost::Message as _;
use tokio_util::task::TaskTracker;

use super::kit::{
    self, Body, TOKEN, TOKEN_FIELD, client, client_with, frame, self_signed, serve, trailers,
};
use crate::cascade::client::{
    Client, Code, MAX_MESSAGE, Malformation, Method, ReactiveStream, RpcError, RpcStep, Timeouts,
};
use crate::cascade::proto::reactive_component_pb::{
    FieldDiff, MessageDiff, StreamReactiveUpdatesRequest, StreamReactiveUpdatesResponse,
};
use crate::record::Id;

const PATH: &str = "/exa.language_server_pb.LanguageServerService/StreamCascadeReactiveUpdates";

fn response(version: u64) -> StreamReactiveUpdatesResponse {
    let field = FieldDiff {
        field_number: 3,
        ..FieldDiff::default()
    };
    StreamReactiveUpdatesResponse {
        version,
        diff: Some(MessageDiff {
            field_diffs: vec![field],
        }),
    }
}

fn grpc(body: Body) -> Response<Body> {
    let mut answer = kit::answer(200, "application/grpc", "");
    answer
        .headers_mut()
        .insert("grpc-encoding", "gzip".parse().expect("a value"));
    *answer.body_mut() = body;
    answer
}

/// A gRPC answer of one plain message, a compressed one and `end`.
fn two_and(end: Option<Frame<Bytes>>) -> Response<Body> {
    let plain = frame(0, &response(1).encode_to_vec());
    let compressed = frame(1, &kit::gzip(&response(2).encode_to_vec()));
    let messages = [plain, compressed].map(|bytes| Frame::data(Bytes::from(bytes)));
    grpc(kit::frames(
        messages.into_iter().chain(end).collect::<Vec<_>>(),
    ))
}

async fn open(client: &Client) -> Result<ReactiveStream, RpcError> {
    client
        .reactive(&Id::from_wire("cascade-1").expect("an id"), "subscriber-1")
        .await
}

/// The versions of all messages and how the stream ended.
async fn all(mut stream: ReactiveStream) -> (Vec<u64>, Result<(), RpcError>) {
    let mut versions = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(message)) => versions.push(message.version),
            end => return (versions, end.map(|_| ())),
        }
    }
}

fn is_the_request(message: &[u8]) -> bool {
    StreamReactiveUpdatesRequest::decode(message).is_ok_and(|request| {
        request.protocol_version == 1
            && request.id == "cascade-1"
            && request.subscriber_id == "subscriber-1"
    })
}

async fn strict_grpc(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let field = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let body = body.collect().await.expect("a body").to_bytes();
    let is_right = head.version == Version::HTTP_2
        && head.uri.path() == PATH
        && field(TOKEN_FIELD) == TOKEN
        && field("content-type") == "application/grpc"
        && field("grpc-accept-encoding").contains("gzip")
        && is_the_request(&body[5..]);
    match is_right {
        true => two_and(Some(trailers(&[("grpc-status", "0")]))),
        false => two_and(Some(trailers(&[("grpc-status", "3")]))),
    }
}

async fn strict_connect(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let field = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let body = body.collect().await.expect("a body").to_bytes();
    let is_right = head.version == Version::HTTP_11
        && head.uri.path() == PATH
        && field(TOKEN_FIELD) == TOKEN
        && field("content-type") == "application/connect+proto"
        && is_the_request(&body[5..]);
    let end = if is_right {
        "{}"
    } else {
        r#"{"error":{"code":"invalid_argument"}}"#
    };
    let plain = frame(0, &response(7).encode_to_vec());
    kit::answer(
        200,
        "application/connect+proto",
        [plain, frame(2, end.as_bytes())].concat(),
    )
}

#[tokio::test]
async fn grpc_is_spoken_over_tls() {
    let https = serve(Some(self_signed(&["h2", "http/1.1"])), strict_grpc).await;
    let http = serve(None, strict_connect).await;
    let stream = open(&client(Some(&http), Some(&https)))
        .await
        .expect("a stream");
    assert_eq!(all(stream).await, (vec![1, 2], Ok(())));
}

#[tokio::test]
async fn connect_is_spoken_where_grpc_is_not() {
    let http = serve(None, strict_connect).await;
    let only_http = client(Some(&http), None);
    // Neither names a protocol, nor refuses one, nor is gRPC what answers.
    let nameless = serve(Some(self_signed(&[])), strict_connect).await;
    let old = serve(Some(self_signed(&["http/1.1"])), strict_connect).await;
    let web = serve(
        Some(self_signed(&["h2", "http/1.1"])),
        |request: Request<Incoming>| async move {
            match request.version() {
                Version::HTTP_2 => kit::answer(415, "text/plain", "no gRPC here"),
                _ => strict_connect(request).await,
            }
        },
    )
    .await;
    let clients = [
        only_http,
        client(None, Some(&nameless)),
        client(None, Some(&old)),
        client(None, Some(&web)),
    ];
    for client in clients {
        let stream = open(&client).await.expect("a stream");
        assert_eq!(all(stream).await, (vec![7], Ok(())), "{client:?}");
    }
}

#[tokio::test]
async fn the_status_of_grpc_is_read() {
    const DISABLED: &[(&str, &str)] = &[
        ("grpc-status", "2"),
        ("grpc-message", "reactive%20state%20is%20disabled"),
    ];
    let cases: [(&[(&str, &str)], _); 3] = [
        (DISABLED, RpcError::Disabled),
        (&[("grpc-status", "12")], RpcError::Unimplemented),
        (
            &[("grpc-status", "8")],
            RpcError::Refused(Code::ResourceExhausted),
        ),
    ];
    for (fields, expected) in cases {
        let server = serve(Some(self_signed(&["h2"])), move |_| async move {
            two_and(Some(trailers(fields)))
        })
        .await;
        let stream = open(&client(None, Some(&server))).await.expect("a stream");
        assert_eq!(all(stream).await, (vec![1, 2], Err(expected)));
        // The same without a body: the status stands in the head.
        let server = serve(Some(self_signed(&["h2"])), move |_| async move {
            let mut answer = grpc(kit::frames([]));
            for (name, value) in fields {
                answer
                    .headers_mut()
                    .insert(*name, value.parse().expect("a value"));
            }
            answer
        })
        .await;
        assert_eq!(
            open(&client(None, Some(&server))).await.err(),
            Some(expected)
        );
    }
}

#[tokio::test]
async fn an_end_without_a_status_is_none() {
    let server = serve(Some(self_signed(&["h2"])), |_| async { two_and(None) }).await;
    let stream = open(&client(None, Some(&server))).await.expect("a stream");
    assert_eq!(all(stream).await, (vec![1, 2], Err(RpcError::Truncated)));
    let cut = Bytes::from(frame(0, &response(1).encode_to_vec())).slice(..6);
    let server = serve(Some(self_signed(&["h2"])), move |_| {
        let answer = grpc(kit::frames([Frame::data(cut.clone())]));
        async { answer }
    })
    .await;
    let stream = open(&client(None, Some(&server))).await.expect("a stream");
    assert_eq!(all(stream).await, (vec![], Err(RpcError::Truncated)));
}

#[tokio::test]
async fn a_lost_connection_is_truncated() {
    let first = Bytes::from(frame(0, &response(1).encode_to_vec()));
    let server = serve(Some(self_signed(&["h2"])), move |_| {
        let answer = grpc(kit::unfinished(first.clone()));
        async { answer }
    })
    .await;
    let mut stream = open(&client(None, Some(&server))).await.expect("a stream");
    assert_eq!(
        stream
            .next()
            .await
            .map(|message| message.map(|m| m.version)),
        Ok(Some(1))
    );
    drop(server);
    assert_eq!(stream.next().await, Err(RpcError::Truncated));
    assert_eq!(stream.next().await, Err(RpcError::Truncated));
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_malformed() {
    let over = u32::try_from(MAX_MESSAGE + 1)
        .expect("a length")
        .to_be_bytes();
    let cases = [
        (frame(0, b"\xff\xff\xff"), Malformation::Message),
        ([&[0], over.as_slice()].concat(), Malformation::TooLarge),
    ];
    for (bytes, expected) in cases {
        let body = Bytes::from(bytes);
        let server = serve(Some(self_signed(&["h2"])), move |_| {
            let answer = grpc(kit::unfinished(body.clone()));
            async { answer }
        })
        .await;
        let stream = open(&client(None, Some(&server))).await.expect("a stream");
        assert_eq!(
            all(stream).await,
            (vec![], Err(RpcError::Malformed(expected)))
        );
    }
}

#[tokio::test]
async fn connect_has_the_same_limit() {
    let chunk = Bytes::from(vec![0; 1 << 20]);
    let head = Bytes::from([&[0], u32::MAX.to_be_bytes().as_slice()].concat());
    let server = serve(None, move |_| {
        let (head, chunk) = (head.clone(), chunk.clone());
        let body =
            std::iter::once(head).chain((0..=(MAX_MESSAGE >> 20)).map(move |_| chunk.clone()));
        let mut answer = kit::answer(200, "application/connect+proto", "");
        *answer.body_mut() = kit::frames(body.map(Frame::data));
        async { answer }
    })
    .await;
    let stream = open(&client(Some(&server), None)).await.expect("a stream");
    assert_eq!(
        all(stream).await,
        (vec![], Err(RpcError::Malformed(Malformation::TooLarge)))
    );
}

#[tokio::test]
async fn a_silent_port_has_its_limit_and_nothing_stays_behind() {
    let tasks = TaskTracker::new();
    let server = serve(Some(self_signed(&["h2"])), |_| std::future::pending()).await;
    let timeouts = Timeouts {
        head: kit::impatient().head,
        ..kit::patient()
    };
    let silent = client_with(tasks.clone(), None, Some(&server)).with_timeouts(timeouts);
    assert_eq!(
        open(&silent).await.err(),
        Some(RpcError::Timeout(RpcStep::Head))
    );

    let first = Bytes::from(frame(0, &response(1).encode_to_vec()));
    let server = serve(Some(self_signed(&["h2"])), move |_| {
        let answer = grpc(kit::unfinished(first.clone()));
        async { answer }
    })
    .await;
    let mut stream = open(&client_with(tasks.clone(), None, Some(&server)))
        .await
        .expect("a stream");
    stream.next().await.expect("a message");
    assert!(!tasks.is_empty(), "the connection is alive");
    drop(stream);
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn json_and_grpc_share_the_pinned_certificate() {
    let server = serve(Some(self_signed(&["h2", "http/1.1"])), strict_grpc).await;
    let client = client(None, Some(&server));
    assert_eq!(
        all(open(&client).await.expect("a stream")).await,
        (vec![1, 2], Ok(()))
    );
    server.become_another(self_signed(&["h2", "http/1.1"]));
    assert_eq!(open(&client).await.err(), Some(RpcError::OtherCertificate));
    let request = serde_json::json!({});
    let json = client.unary(Method::Heartbeat, &request, &mut |_| {}).await;
    assert_eq!(json, Err(RpcError::OtherCertificate));
}
