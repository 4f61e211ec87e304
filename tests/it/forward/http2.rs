//! HTTP/2: streams go side by side, each with its own end, and no flood gets through.

use bytes::Bytes;
use h2::{Reason, RecvStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::{frame, options};
use crate::kit::{Gravimeter, GravimeterOptions, read_all, soon};

/// Both ends of one connection, as HTTP/2 sees them.
struct Pair {
    agent: client::SendRequest<Bytes>,
    provider: server::Connection<tokio_rustls::server::TlsStream<tokio::net::TcpStream>, Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

async fn start() -> Gravimeter {
    Gravimeter::with(GravimeterOptions {
        agent_alpn: vec!["h2"],
        ..options()
    })
    .await
}

async fn pair(gravimeter: &Gravimeter) -> Pair {
    let (agent, provider) = gravimeter.pair().await;
    let (agent, provider) =
        soon(async { tokio::join!(client::handshake(agent), server::handshake(provider)) }).await;
    let (agent, connection) = agent.expect("HTTP/2");
    Pair {
        agent,
        provider: provider.expect("HTTP/2"),
        driver: TaskTracker::new().spawn(connection),
    }
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("https://api.example.com{path}"))
        .header("x-order", "1")
        .body(())
        .expect("a request")
}

async fn content(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut content = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        content.extend_from_slice(&data);
    }
    Ok(content)
}

/// The next request that reaches the provider, while the connection goes on.
async fn accept(pair: &mut Pair) -> (Request<RecvStream>, server::SendResponse<Bytes>) {
    soon(pair.provider.accept())
        .await
        .expect("a request")
        .expect("an open connection")
}

#[tokio::test]
async fn a_stream_passes_with_its_body_and_trailers_both_ways() {
    let gravimeter = start().await;
    let mut pair = pair(&gravimeter).await;
    let (response, mut body) = pair
        .agent
        .send_request(post("/v1/messages?a=b"), false)
        .expect("open");
    body.send_data(Bytes::from_static(b"{\"a\":"), false)
        .expect("open");
    body.send_data(Bytes::from_static(b"1}"), false)
        .expect("open");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    body.send_trailers(trailers.clone()).expect("open");
    let (request, mut respond) = accept(&mut pair).await;
    assert_eq!(request.uri(), "https://api.example.com/v1/messages?a=b");
    assert_eq!(request.headers()["x-order"], "1");
    let provider =
        TaskTracker::new().spawn(async move { while pair.provider.accept().await.is_some() {} });
    let mut asked = request.into_body();
    assert_eq!(content(&mut asked).await.expect("whole"), b"{\"a\":1}");
    assert_eq!(soon(asked.trailers()).await.expect("whole"), Some(trailers));
    let head = Response::builder()
        .header("x-request-id", "r")
        .body(())
        .expect("a head");
    let mut answer = respond.send_response(head, false).expect("open");
    answer
        .send_data(Bytes::from_static(b"ok"), false)
        .expect("open");
    let mut status = HeaderMap::new();
    status.insert("grpc-status", "0".parse().expect("a value"));
    answer.send_trailers(status.clone()).expect("open");
    let response = soon(response).await.expect("an answer");
    assert_eq!(response.headers()["x-request-id"], "r");
    assert!(!response.headers().contains_key("date"), "nothing is added");
    let mut answered = response.into_body();
    assert_eq!(content(&mut answered).await.expect("whole"), b"ok");
    assert_eq!(
        soon(answered.trailers()).await.expect("whole"),
        Some(status)
    );
    drop((pair.agent, pair.driver));
    provider.abort();
    gravimeter.close().await;
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    let gravimeter = start().await;
    let mut pair = pair(&gravimeter).await;
    let (slow, _slow_body) = pair.agent.send_request(post("/slow"), false).expect("open");
    let (quick, _) = pair.agent.send_request(post("/quick"), true).expect("open");
    let (_slow_request, _slow_respond) = accept(&mut pair).await;
    let (request, mut respond) = accept(&mut pair).await;
    assert_eq!(request.uri().path(), "/quick");
    respond
        .send_response(Response::new(()), true)
        .expect("open");
    let provider =
        TaskTracker::new().spawn(async move { while pair.provider.accept().await.is_some() {} });
    assert_eq!(soon(quick).await.expect("an answer").status(), 200);
    drop(slow);
    provider.abort();
    gravimeter.close().await;
}

#[tokio::test]
async fn a_reset_reaches_the_other_side_with_its_reason() {
    let gravimeter = start().await;
    let mut pair = pair(&gravimeter).await;

    // By the provider, before and in the answer.
    let (response, _) = pair
        .agent
        .send_request(post("/refused"), true)
        .expect("open");
    let (_, mut respond) = accept(&mut pair).await;
    respond.send_reset(Reason::ENHANCE_YOUR_CALM);
    let (response, refused) = tokio::join!(
        async {
            let (streaming, _) = pair
                .agent
                .send_request(post("/stream"), true)
                .expect("open");
            let (_, mut respond) = soon(pair.provider.accept())
                .await
                .expect("one")
                .expect("open");
            let mut body = respond
                .send_response(Response::new(()), false)
                .expect("open");
            body.send_data(Bytes::from_static(b"begun"), false)
                .expect("open");
            (streaming, body)
        },
        response
    );
    let refused = refused.expect_err("a reset");
    assert_eq!(
        refused.reason(),
        Some(Reason::ENHANCE_YOUR_CALM),
        "{refused}"
    );
    let (streaming, mut body) = response;
    let (answer, ()) = tokio::join!(soon(streaming), async {
        // The connection must go on for its frames to be sent.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(50), pair.provider.accept())
            .await;
    });
    let mut answered = answer.expect("an answer").into_body();
    assert_eq!(
        soon(answered.data()).await.expect("some").expect("whole"),
        "begun"
    );
    body.send_reset(Reason::CANCEL);
    let provider = TaskTracker::new().spawn(async move {
        while let Some(next) = pair.provider.accept().await {
            // By the agent: what the provider learns of it.
            let (_, mut respond) = next.expect("open");
            let mut body = respond
                .send_response(Response::new(()), false)
                .expect("open");
            TaskTracker::new()
                .spawn(async move { std::future::poll_fn(|cx| body.poll_reset(cx)).await });
        }
    });
    let error = soon(answered.data())
        .await
        .expect("an end")
        .expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error}");

    // The connection is as good as before.
    let (response, mut request) = pair.agent.send_request(post("/next"), false).expect("open");
    assert_eq!(soon(response).await.expect("an answer").status(), 200);
    request.send_reset(Reason::CANCEL);
    provider.abort();
    gravimeter.close().await;
}

#[tokio::test]
async fn an_agent_that_resets_a_stream_ends_the_providers_stream() {
    let gravimeter = start().await;
    let mut pair = pair(&gravimeter).await;
    let (response, mut request) = pair
        .agent
        .send_request(post("/stream"), false)
        .expect("open");
    let (_asked, mut respond) = accept(&mut pair).await;
    let mut body = respond
        .send_response(Response::new(()), false)
        .expect("open");
    body.send_data(Bytes::from_static(b"begun"), false)
        .expect("open");
    let (reset, ()) = tokio::join!(
        async {
            let reset = std::future::poll_fn(|cx| body.poll_reset(cx));
            let on = async { while pair.provider.accept().await.is_some() {} };
            tokio::select! {
                reset = soon(reset) => reset,
                () = on => panic!("the connection stays"),
            }
        },
        async {
            let answer = soon(response).await.expect("an answer");
            request.send_reset(Reason::CANCEL);
            drop(answer);
        }
    );
    assert_eq!(reset.expect("a reset"), Reason::CANCEL);
    gravimeter.close().await;
}

#[tokio::test]
async fn a_provider_that_says_good_bye_has_the_agent_open_a_new_connection() {
    let gravimeter = start().await;
    let mut pair = pair(&gravimeter).await;
    let (response, _) = pair.agent.send_request(post("/last"), true).expect("open");
    let (_, mut respond) = accept(&mut pair).await;
    pair.provider.graceful_shutdown();
    respond
        .send_response(Response::new(()), true)
        .expect("open");
    let provider =
        TaskTracker::new().spawn(async move { while pair.provider.accept().await.is_some() {} });
    assert_eq!(soon(response).await.expect("an answer").status(), 200);
    // GOAWAY ends the agent's connection in order.
    drop(pair.agent);
    soon(pair.driver)
        .await
        .expect("no panic")
        .expect("an end in order");
    soon(provider).await.expect("no panic");
    gravimeter.close().await;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `:method: POST`, `:scheme: https`, `:path: /`, `:authority: a`.
const POST: &[u8] = b"\x83\x87\x84\x41\x01a";

#[tokio::test]
async fn no_flood_of_the_agents_gets_through() {
    let gravimeter = start().await;
    let rapid_reset: Vec<u8> = (0..4000_u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [
                frame(1, 4, stream, POST),
                frame(3, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        })
        .collect();
    let continuation: Vec<u8> = std::iter::once(frame(1, 0, 1, POST))
        .chain((0..400).map(|_| frame(9, 0, 1, &[b"\x00\x01a\x7f\x00", &[b'b'; 127][..]].concat())))
        .flatten()
        .collect();
    let empty_data: Vec<u8> = std::iter::once(frame(1, 4, 1, POST))
        .chain((0..100_000).map(|_| frame(0, 0, 1, b"")))
        .flatten()
        .collect();
    let window: Vec<u8> = [
        frame(1, 4, 1, POST),
        frame(8, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
    ]
    .concat();
    // `:method: POST` and nothing else: each is answered with RST_STREAM.
    let malformed: Vec<u8> = (0..4000_u32)
        .flat_map(|number| frame(1, 5, 2 * number + 1, b"\x83"))
        .collect();
    for (name, flood) in [
        ("malformed requests", malformed),
        ("rapid reset", rapid_reset),
        ("CONTINUATION", continuation),
        ("empty DATA", empty_data),
        ("window overflow", window),
        ("nonsense", vec![0xff; 4096]),
    ] {
        let (mut agent, provider) = gravimeter.pair().await;
        let begun = [PREFACE, &frame(4, 0, 0, b"")].concat();
        // A provider that reads and answers nothing.
        let provider = TaskTracker::new().spawn(async move {
            let mut provider = provider;
            read_all(&mut provider).await.0.len()
        });
        let sent = async {
            agent.write_all(&begun).await?;
            agent.write_all(&flood).await?;
            agent.flush().await
        };
        // It may be cut off while it still comes.
        let _ = soon(sent).await;
        let (answer, _) = read_all(&mut agent).await;
        let goaway = answer
            .windows(9)
            .any(|head| head[3] == 7 && head[5..9] == [0; 4]);
        assert!(goaway, "{name}: the connection ends with GOAWAY");
        let reached = soon(provider).await.expect("no panic");
        assert!(
            reached < 200_000,
            "{name}: {reached} bytes reached the provider"
        );
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn websockets_over_http2_are_not_offered() {
    let gravimeter = start().await;
    let (agent, provider) = gravimeter.pair().await;
    let mut offering = server::Builder::new();
    offering.enable_connect_protocol();
    let (agent, provider) = soon(async {
        tokio::join!(
            client::handshake(agent),
            offering.handshake::<_, Bytes>(provider)
        )
    })
    .await;
    let (mut agent, connection) = agent.expect("HTTP/2");
    let driver = TaskTracker::new().spawn(connection);
    let mut provider = provider.expect("HTTP/2");
    let provider = TaskTracker::new().spawn(async move {
        while let Some(next) = provider.accept().await {
            let (request, mut respond) = next.expect("an open connection");
            assert_eq!(request.method(), "POST", "nothing else gets through");
            respond
                .send_response(Response::new(()), true)
                .expect("open");
        }
    });
    // An answer shows that the settings of both sides were read.
    let (response, _) = agent.send_request(post("/"), true).expect("open");
    assert_eq!(soon(response).await.expect("an answer").status(), 200);
    assert!(!agent.is_extended_connect_protocol_enabled());
    let connect = Request::connect("api.example.com:443")
        .body(())
        .expect("a request");
    let (response, _) = agent.send_request(connect, false).expect("open");
    assert_eq!(soon(response).await.expect("an answer").status(), 405);
    drop((agent, driver));
    soon(provider).await.expect("no panic");
    gravimeter.close().await;
}
