//! One request, one answer.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::kit::{
    self, Body, TOKEN, TOKEN_FIELD, client, client_with, impatient, patient, self_signed, serve,
};
use crate::cascade::client::dial::READ_BUFFER;
use crate::cascade::client::{
    Client, Code, Endpoint, Malformation, Method, RpcError, RpcStep, Timeouts, Token,
};
use crate::record::FollowFailure;

async fn ask(client: &Client) -> Result<String, RpcError> {
    let mut body = Vec::new();
    let request = json!({"metadata": {}});
    client
        .unary(Method::Heartbeat, &request, &mut |piece| {
            body.extend_from_slice(piece)
        })
        .await?;
    Ok(String::from_utf8(body).expect("JSON"))
}

/// Answers `{"ok":true}` to a request as it should be, and says what is wrong with any other.
async fn strict(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let field = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let body = body.collect().await.expect("a body").to_bytes();
    if field(TOKEN_FIELD) != TOKEN {
        return kit::json(
            401,
            r#"{"code":"unauthenticated","message":"missing CSRF token"}"#,
        );
    }
    let is_right = head.method == http::Method::POST
        && head.version == Version::HTTP_11
        && head.uri == *"/exa.language_server_pb.LanguageServerService/Heartbeat"
        && field("content-type") == "application/json"
        && field("connect-protocol-version") == "1"
        && field("accept-encoding") == "gzip"
        && field("host").starts_with("127.0.0.1:")
        && body == r#"{"metadata":{}}"#;
    match is_right {
        true => kit::json(200, r#"{"ok":true}"#),
        false => kit::json(
            400,
            r#"{"code":"invalid_argument","message":"not as it should be"}"#,
        ),
    }
}

#[tokio::test]
async fn an_answer_is_lent_out() {
    let server = serve(None, strict).await;
    assert_eq!(
        ask(&client(Some(&server), None)).await,
        Ok(r#"{"ok":true}"#.into())
    );
}

#[tokio::test]
async fn tls_is_used_where_only_that_is_known() {
    let server = serve(Some(self_signed(&["h2", "http/1.1"])), strict).await;
    assert_eq!(
        ask(&client(None, Some(&server))).await,
        Ok(r#"{"ok":true}"#.into())
    );
}

#[tokio::test]
async fn the_port_in_the_clear_comes_first() {
    let (http, nobody) = (serve(None, strict).await, kit::silent().await);
    assert_eq!(
        ask(&client(Some(&http), Some(&nobody))).await,
        Ok(r#"{"ok":true}"#.into())
    );
}

#[tokio::test]
async fn a_wrong_token_is_told_apart_and_no_token_is_shown() {
    let server = serve(None, strict).await;
    let endpoint =
        Endpoint::new(Some(server.addr), None, Token::new("wr0ng")).expect("an endpoint");
    let client = Client::new(endpoint, TaskTracker::new());
    let error = ask(&client).await.unwrap_err();
    assert_eq!(
        (error, error.reason()),
        (RpcError::BadToken, FollowFailure::BadToken)
    );
    assert!(!format!("{client:?} {error:?} {error}").contains("wr0ng"));
}

#[tokio::test]
async fn gzip_is_taken_off() {
    let server = serve(None, |_| async {
        let mut answer = kit::json(200, kit::gzip(br#"{"a":1}"#));
        answer
            .headers_mut()
            .insert("content-encoding", "gzip".parse().expect("a value"));
        answer
    })
    .await;
    assert_eq!(
        ask(&client(Some(&server), None)).await,
        Ok(r#"{"a":1}"#.into())
    );
}

#[tokio::test]
async fn damaged_or_unknown_compression_is_malformed() {
    for (coding, body) in [("gzip", b"not gzip".to_vec()), ("compress", b"{}".to_vec())] {
        let server = serve(None, move |_| {
            let mut answer = kit::json(200, body.clone());
            answer
                .headers_mut()
                .insert("content-encoding", coding.parse().expect("a value"));
            async { answer }
        })
        .await;
        let error = ask(&client(Some(&server), None)).await.unwrap_err();
        assert_eq!(error, RpcError::Malformed(Malformation::Coding));
    }
}

/// 64 MiB in chunks that no buffer of the client has.
fn large() -> Body {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    kit::frames((0..64).map(move |_| Frame::data(chunk.clone())))
}

#[tokio::test]
async fn a_large_answer_comes_in_small_pieces() {
    let server = serve(None, |_| async {
        let mut answer = kit::json(200, "");
        *answer.body_mut() = large();
        answer
    })
    .await;
    let (mut bytes, mut longest) = (0, 0);
    let mut on = |piece: &[u8]| (bytes, longest) = (bytes + piece.len(), longest.max(piece.len()));
    let request = json!({});
    client(Some(&server), None)
        .unary(Method::GetCascadeTrajectorySteps, &request, &mut on)
        .await
        .expect("an answer");
    assert_eq!(bytes, 64 << 20);
    assert!(longest <= READ_BUFFER, "{longest}");
}

#[tokio::test]
async fn errors_are_told_apart_by_code_and_known_sentences() {
    let cases = [
        (
            500,
            r#"{"code":"unknown","message":"reactive state is disabled"}"#,
            RpcError::Disabled,
        ),
        (
            500,
            r#"{"code":"unknown","message":"trajectory not found"}"#,
            RpcError::Deleted,
        ),
        (
            400,
            r#"{"code":"invalid_argument","message":"x"}"#,
            RpcError::Refused(Code::InvalidArgument),
        ),
        (404, "404 page not found", RpcError::Unimplemented),
    ];
    for (status, body, expected) in cases {
        let server = serve(None, move |_| async move { kit::json(status, body) }).await;
        assert_eq!(ask(&client(Some(&server), None)).await, Err(expected));
    }
}

#[tokio::test]
async fn a_compressed_error_is_read_and_an_endless_one_is_not() {
    let server = serve(None, |_| async {
        let mut answer = kit::json(400, kit::gzip(br#"{"code":"unimplemented"}"#));
        answer
            .headers_mut()
            .insert("content-encoding", "gzip".parse().expect("a value"));
        answer
    })
    .await;
    assert_eq!(
        ask(&client(Some(&server), None)).await,
        Err(RpcError::Unimplemented)
    );
    let server = serve(None, |_| async {
        let mut answer = kit::json(503, "");
        *answer.body_mut() = large();
        answer
    })
    .await;
    assert_eq!(
        ask(&client(Some(&server), None)).await,
        Err(RpcError::Refused(Code::Unavailable))
    );
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    let cut =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"a\"";
    let cases = [
        ("", RpcError::Closed),
        (
            "220 mail.example ESMTP\r\n",
            RpcError::Malformed(Malformation::Http),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            RpcError::Malformed(Malformation::ContentType),
        ),
        (cut, RpcError::Truncated),
    ];
    for (bytes, expected) in cases {
        let server = kit::raw(bytes).await;
        assert_eq!(
            ask(&client(Some(&server), None)).await,
            Err(expected),
            "{bytes}"
        );
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let nobody = Client::new(
        Endpoint::new(Some(free), None, None).expect("an endpoint"),
        TaskTracker::new(),
    );
    assert_eq!(
        ask(&nobody).await,
        Err(RpcError::Connect(std::io::ErrorKind::ConnectionRefused))
    );
}

#[tokio::test]
async fn silence_has_an_end_at_every_step() {
    let server = kit::silent().await;
    let timeouts = Timeouts {
        connect: impatient().connect,
        ..patient()
    };
    let error = ask(&client(None, Some(&server)).with_timeouts(timeouts)).await;
    assert_eq!(error, Err(RpcError::Timeout(RpcStep::Connect)));

    let timeouts = Timeouts {
        head: impatient().head,
        ..patient()
    };
    let error = ask(&client(Some(&server), None).with_timeouts(timeouts)).await;
    assert_eq!(error, Err(RpcError::Timeout(RpcStep::Head)));

    let server = serve(None, |_| async {
        let mut answer = kit::json(200, "");
        *answer.body_mut() = kit::unfinished(Bytes::from_static(b"{"));
        answer
    })
    .await;
    let timeouts = Timeouts {
        silence: impatient().silence,
        ..patient()
    };
    let error = ask(&client(Some(&server), None).with_timeouts(timeouts)).await;
    assert_eq!(error, Err(RpcError::Timeout(RpcStep::Body)));
}

#[tokio::test]
async fn another_certificate_is_refused() {
    let requests = Arc::new(Mutex::new(0));
    let counted = requests.clone();
    let server = serve(Some(self_signed(&["http/1.1"])), move |request| {
        *counted.lock().expect("a count") += 1;
        strict(request)
    })
    .await;
    let asking = client(None, Some(&server));
    ask(&asking).await.expect("an answer");
    ask(&asking).await.expect("the same certificate again");
    server.become_another(self_signed(&["http/1.1"]));
    assert_eq!(ask(&asking).await, Err(RpcError::OtherCertificate));
    assert_eq!(ask(&asking.clone()).await, Err(RpcError::OtherCertificate));
    assert_eq!(
        *requests.lock().expect("a count"),
        2,
        "the other one never saw the token"
    );
    assert_eq!(
        ask(&client(None, Some(&server))).await,
        Ok(r#"{"ok":true}"#.into()),
        "another client is free to"
    );
}

#[tokio::test]
async fn no_task_stays_behind() {
    let server = serve(Some(self_signed(&["http/1.1"])), strict).await;
    let tasks = TaskTracker::new();
    let client = client_with(tasks.clone(), None, Some(&server));
    ask(&client).await.expect("an answer");
    let silent = kit::silent().await;
    let abandoned = client_with(tasks.clone(), Some(&silent), None).with_timeouts(impatient());
    ask(&abandoned).await.expect_err("nobody answers");
    tasks.close();
    tasks.wait().await;
}
