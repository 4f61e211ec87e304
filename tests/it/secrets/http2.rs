//! The same over HTTP/2: an exchange that ends, one that is reset, and frames that are none.

use bytes::Bytes;
use gravimeter::demo::CLOUD_CODE_HOST;
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};
use tokio_util::task::TaskTracker;

use super::recordings::{ask, events};
use super::{Nest, Stage};
use crate::kit::agent::Agent;
use crate::kit::{read_all, read_some, soon, write_pieces};

/// Passes them all; how many of them are calls whose model is read.
pub async fn exchange(nest: &mut Nest, stage: &Stage) -> u64 {
    for is_reset in [false, true] {
        let (agent, provider) = pair(nest, stage).await;
        let (asked, said) = (ask(nest), events(nest));
        let (request, response) = (request(nest), response(nest));
        let asking = soon(agents_side(agent, request, asked, is_reset));
        tokio::join!(
            asking,
            soon(providers_side(provider, response, said, is_reset))
        );
    }
    noise(nest, stage).await;
    2
}

async fn pair(
    nest: &mut Nest,
    stage: &Stage,
) -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
    let agent = Agent::new(&stage.roots, &["h2"]);
    let tcp = stage.knock(nest, CLOUD_CODE_HOST).await;
    let (agent, provider) = tokio::join!(
        agent.handshake(tcp, CLOUD_CODE_HOST),
        stage.cloud_code.accept()
    );
    (agent.expect("trust"), provider.expect("trust"))
}

fn request(nest: &mut Nest) -> Request<()> {
    let query = format!("alt=sse&key={}", nest.url("key in the query"));
    let uri = format!("https://{CLOUD_CODE_HOST}/v1internal:streamGenerateContent?{query}");
    let request = nest
        .request_fields()
        .into_iter()
        .fold(Request::post(uri), |request, (name, value)| {
            request.header(name, value)
        });
    request.body(()).expect("a request")
}

fn response(nest: &mut Nest) -> Response<()> {
    let (cookie, trace) = (nest.text("set-cookie"), nest.id("trace id in the head"));
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .header("set-cookie", cookie);
    response
        .header("x-cloudaicompanion-trace-id", trace)
        .body(())
        .expect("a response")
}

async fn agents_side(
    tls: client::TlsStream<TcpStream>,
    request: Request<()>,
    body: String,
    is_reset: bool,
) {
    let (sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
    let connection = TaskTracker::new().spawn(connection);
    let mut sender = sender.ready().await.expect("a stream");
    let (response, mut stream) = sender.send_request(request, false).expect("a request");
    stream.send_data(Bytes::from(body), true).expect("a body");
    let mut body = response.await.expect("a response").into_body();
    let mut ended = true;
    while let Some(data) = body.data().await {
        let Ok(data) = data else {
            ended = false;
            break;
        };
        body.flow_control()
            .release_capacity(data.len())
            .expect("capacity");
    }
    assert_eq!(ended, !is_reset);
    drop((sender, stream, body));
    // Nothing holds it any more, so it says goodbye and ends.
    connection
        .await
        .expect("no panic")
        .expect("an end in order");
}

async fn providers_side(
    tls: server::TlsStream<TcpStream>,
    response: Response<()>,
    body: String,
    is_reset: bool,
) {
    let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
    let (mut request, mut answer) = connection
        .accept()
        .await
        .expect("a request")
        .expect("in order");
    let answering = async move {
        while let Some(data) = request.body_mut().data().await {
            let data = data.expect("a body");
            request
                .body_mut()
                .flow_control()
                .release_capacity(data.len())
                .expect("capacity");
        }
        let mut stream = answer.send_response(response, false).expect("a response");
        stream
            .send_data(Bytes::from(body), !is_reset)
            .expect("data");
        if is_reset {
            // Only what has left before the reset is passed on.
            tokio::task::yield_now().await;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    };
    tokio::join!(answering, async {
        while connection.accept().await.is_some() {}
    });
}

/// A preface, and behind it a header block that is none and secrets in its place.
async fn noise(nest: &mut Nest, stage: &Stage) {
    let (mut agent, mut provider) = pair(nest, stage).await;
    let secret = nest.text("broken HPACK");
    let length = u8::try_from(secret.len() + 1).expect("short");
    let headers = [
        &[0, 0, length, 1, 5, 0, 0, 0, 1, 0xff][..],
        secret.as_bytes(),
    ]
    .concat();
    let sent = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        &headers[..],
        secret.as_bytes(),
    ]
    .concat();
    write_pieces(&mut agent, &sent, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut provider, sent.len()).await, sent);
    write_pieces(&mut provider, secret.as_bytes(), &[usize::MAX], true).await;
    drop(provider);
    assert_eq!(read_all(&mut agent).await.0, secret.as_bytes());
}
