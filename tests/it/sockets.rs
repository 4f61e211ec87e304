//! WebSockets over HTTP/2 (RFC 8441), through the relay, between a client and a server that know
//! extended CONNECT: the bytes pass unchanged, and the calls are counted.

use bytes::{Bytes, BytesMut};
use gravimeter::app::App;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{client, server};
use tokio_util::task::TaskTracker;

use crate::fixtures::Stage;
use crate::kit::binary::until;
use crate::kit::soon;
use crate::whole::{get, series, sum};

const HOST: &str = "api.openai.com";
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A message of the agent, which masks it, in one frame.
fn masked(text: &str) -> Vec<u8> {
    let payload = text.bytes().zip(MASK.into_iter().cycle());
    let payload: Vec<u8> = payload.map(|(byte, mask)| byte ^ mask).collect();
    let length = u16::try_from(text.len())
        .expect("a short message")
        .to_be_bytes();
    [&[0x81, 0x80 | 126][..], &length, &MASK, &payload].concat()
}

/// A message of the provider, in one frame.
fn unmasked(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len())
        .expect("a short message")
        .to_be_bytes();
    [&[0x81, 126][..], &length, text.as_bytes()].concat()
}

fn question(number: u64) -> Vec<u8> {
    let text = json!({ "type": "response.create", "model": "gpt-5.4", "input": format!("canary {number}") });
    masked(&text.to_string())
}

/// A piece of content, and the figures: 10, 20, ... tokens in, one out.
fn answer(number: u64) -> Vec<u8> {
    let piece = json!({ "type": "response.output_text.delta", "delta": "canary" });
    let usage =
        json!({ "input_tokens": 10 * number, "output_tokens": 1, "total_tokens": 10 * number + 1 });
    let last = json!({ "type": "response.completed", "response":
        { "id": format!("resp_{number}"), "status": "completed", "model": "gpt-5.4", "usage": usage } });
    [unmasked(&piece.to_string()), unmasked(&last.to_string())].concat()
}

const QUESTIONS: u64 = 3;

/// Sends bytes in frames of HTTP/2 that have nothing to do with those of the socket.
fn send(stream: &mut SendStream<Bytes>, bytes: &[u8]) {
    for piece in bytes.chunks(7) {
        stream
            .send_data(Bytes::copy_from_slice(piece), false)
            .expect("an open stream");
    }
}

/// Receives so many bytes.
async fn receive(stream: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut received = BytesMut::new();
    while received.len() < length {
        let data = stream.data().await.expect("more bytes").expect("in order");
        stream
            .flow_control()
            .release_capacity(data.len())
            .expect("capacity");
        received.extend_from_slice(&data);
    }
    received.to_vec()
}

/// Receives the end of the stream, before which nothing else may come.
async fn receive_end(stream: &mut RecvStream) {
    while let Some(data) = stream.data().await {
        assert!(data.expect("an end in order").is_empty());
    }
}

async fn agents_side(tls: client::TlsStream<TcpStream>) {
    let (sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
    let connection = TaskTracker::new().spawn(connection);
    // Only once the server's settings have come may an agent ask for a socket.
    let mut ready = until(async || {
        let ready = sender.clone().ready().await.expect("a stream");
        ready
            .is_extended_connect_protocol_enabled()
            .then_some(ready)
    })
    .await;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://{HOST}/v1/responses"))
        .header("sec-websocket-version", "13")
        .header("authorization", "Bearer canary-token")
        .body(())
        .expect("a request");
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let (response, mut sending) = ready.send_request(request, false).expect("a request");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), 200);
    let mut receiving = response.into_body();
    for number in 1..=QUESTIONS {
        send(&mut sending, &question(number));
        let expected = answer(number);
        assert_eq!(receive(&mut receiving, expected.len()).await, expected);
    }
    sending.send_data(Bytes::new(), true).expect("an end");
    receive_end(&mut receiving).await;
    drop((sender, ready, sending, receiving));
    connection
        .await
        .expect("no panic")
        .expect("an end in order");
}

async fn providers_side(tls: server::TlsStream<TcpStream>) {
    let mut builder = h2::server::Builder::new();
    let mut connection = builder
        .enable_connect_protocol()
        .handshake::<_, Bytes>(tls)
        .await
        .expect("HTTP/2");
    let (request, mut responding) = connection
        .accept()
        .await
        .expect("a request")
        .expect("in order");
    let protocol = request.extensions().get::<Protocol>();
    assert_eq!(protocol.map(Protocol::as_str), Some("websocket"));
    let mut receiving = request.into_body();
    let answering = async move {
        let response = Response::builder().body(()).expect("a response");
        let mut sending = responding
            .send_response(response, false)
            .expect("a response");
        for number in 1..=QUESTIONS {
            let expected = question(number);
            assert_eq!(receive(&mut receiving, expected.len()).await, expected);
            send(&mut sending, &answer(number));
        }
        receive_end(&mut receiving).await;
        sending.send_data(Bytes::new(), true).expect("an end");
    };
    tokio::join!(answering, async {
        while connection.accept().await.is_some() {}
    });
}

/// The metrics once no connection is open any more.
async fn counted(app: &App) -> String {
    let web = app.addresses().exporter().expect("an exporter");
    until(async || {
        let exposition = get(web, "/metrics").await;
        let open = sum(&series(&exposition, "gravimeter_connections_active"), &[]);
        (open == 0).then_some(exposition)
    })
    .await
}

#[tokio::test]
async fn calls_over_a_socket_of_http2_are_counted() {
    let stage = Stage::set_for(HOST, &["h2"]).await;
    let (agent, provider) = stage.pair(HOST).await;
    tokio::join!(soon(agents_side(agent)), soon(providers_side(provider)));
    let exposition = counted(&stage.app).await;
    let calls = series(&exposition, "gravimeter_calls_total");
    let ok = [
        r#"model="gpt-5.4""#,
        r#"outcome="ok""#,
        r#"provider="openai""#,
    ];
    assert_eq!((sum(&calls, &ok), sum(&calls, &[])), (QUESTIONS, QUESTIONS));
    let tokens = |kind: &str| {
        let label = format!("kind=\"{kind}\"");
        sum(&series(&exposition, "gravimeter_tokens_total"), &[&label])
    };
    assert_eq!((tokens("input"), tokens("output")), (60, 3));
    let exact = sum(
        &series(&exposition, "gravimeter_usage_reports_total"),
        &[r#"quality="exact""#],
    );
    assert_eq!(exact, QUESTIONS);
    for lost in [
        "gravimeter_observer_failures_total",
        "gravimeter_unread_calls_total",
    ] {
        assert_eq!(sum(&series(&exposition, lost), &[]), 0, "{lost}");
    }
    assert!(!exposition.contains("canary"));
    stage.app.stop(std::future::pending()).await;
}
