//! Strangers judge: hyper and h2 speak to themselves across a tap, and the framings must see what
//! both ends saw.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::memory::Memory;
use super::transcript::{Recording, Seen, Transcript, cut, replay};
use super::{Alpn, Direction, End, framing::Framing};

type Body = BoxBody<Bytes, io::Error>;

/// The agent's end of a connection; writes down what passes.
struct Tap {
    inner: DuplexStream,
    tape: Arc<Mutex<Recording>>,
}

impl Tap {
    fn note(&self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.tape.lock().unwrap().push((direction, bytes.to_vec()));
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.note(Direction::ToAgent, &buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.note(Direction::ToProvider, &bytes[..written]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A connection through a pipe so narrow that everything is cut.
fn tapped(pipe_bytes: usize) -> (Tap, DuplexStream, Arc<Mutex<Recording>>) {
    let (agent, provider) = duplex(pipe_bytes);
    let tape = Arc::new(Mutex::new(Recording::new()));
    (
        Tap {
            inner: agent,
            tape: Arc::clone(&tape),
        },
        provider,
        tape,
    )
}

/// What the framing makes of the tape, in the order of the paths; the same for every cut.
fn observed(alpn: Alpn, tape: &Mutex<Recording>) -> Vec<Seen> {
    let recording = tape.lock().unwrap().clone();
    let observe = |recording: &Recording| {
        let transcript = Transcript::default();
        replay(
            &mut Framing::new(
                alpn,
                transcript.opener(),
                transcript.record(),
                Memory::default(),
            ),
            recording,
            End::Closed,
        );
        let mut pages = transcript.pages();
        assert_eq!(pages.failures, []);
        pages
            .exchanges
            .sort_by(|a, b| a.request.path.cmp(&b.request.path));
        pages.exchanges
    };
    let whole = observe(&recording);
    for distances in [&[1][..], &[7, 1, 400], &[9, 8, 3]] {
        assert_eq!(observe(&cut(&recording, distances)), whole);
    }
    whole
}

/// A body of the given kind: none, of known length, in chunks, in chunks with trailers.
fn body(kind: usize, seed: usize) -> Body {
    let piece = move |n: usize| {
        Bytes::from(vec![
            b'a' + u8::try_from((seed + n) % 26).unwrap();
            1 + (seed * 37 + n * 911) % 3000
        ])
    };
    let chunks = move |n| Ok(Frame::data(piece(n)));
    match kind % 4 {
        0 => Empty::new().map_err(|never| match never {}).boxed(),
        1 => Full::new(piece(0)).map_err(|never| match never {}).boxed(),
        2 => BodyExt::boxed(StreamBody::new(stream::iter((0..5).map(chunks)))),
        _ => {
            let trailers = HeaderMap::from_iter([(
                "x-trailer".parse().unwrap(),
                HeaderValue::from_static("t"),
            )]);
            let frames = (0..3).map(chunks).chain([Ok(Frame::trailers(trailers))]);
            BodyExt::boxed(StreamBody::new(stream::iter(frames)))
        }
    }
}

fn request(n: usize) -> Request<Body> {
    let method = ["POST", "GET", "PUT", "HEAD"][n % 4];
    let kind = if n % 2 == 1 { 0 } else { n / 4 };
    let builder = Request::builder()
        .method(method)
        .uri(format!("http://x/{n:04}?key=secret"));
    let builder = builder
        .header("te", "trailers")
        .header("trailer", "x-trailer")
        .header("authorization", format!("s{n}"));
    builder.body(body(kind, n)).unwrap()
}

/// Path and body of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked(String, Vec<u8>);

/// Answers by the number in the path, and notes what was asked.
async fn answer(
    asked: Arc<Mutex<Vec<Asked>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let path = request.uri().path().to_owned();
    let n: usize = path[1..].parse().unwrap();
    let content = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    asked.lock().unwrap().push(Asked(path, content.to_vec()));
    let response = Response::builder()
        .status([200, 429, 204, 304][n / 3 % 4])
        .header("retry-after", n);
    let kind = if n % 4 == 3 || matches!(n / 3 % 4, 2 | 3) {
        0
    } else {
        n / 2
    };
    Ok(response
        .header("trailer", "x-trailer")
        .header("x-unique", format!("{n}"))
        .body(body(kind, n + 5))
        .unwrap())
}

/// Compares what both ends saw with what was observed.
fn assert_agreement(
    seen: &[Seen],
    mut asked: Vec<Asked>,
    mut answered: Vec<(usize, u16, Vec<u8>)>,
) {
    asked.sort();
    answered.sort();
    let requests: Vec<_> = seen
        .iter()
        .map(|s| Asked(s.request.path.clone(), s.request_body.clone()))
        .collect();
    assert_eq!(requests, asked);
    for (seen, (n, status, content)) in seen.iter().zip(&answered) {
        let head = seen.response.as_ref().unwrap();
        assert_eq!(
            (head.status, head.fields.retry_after_seconds),
            (*status, Some(*n as u64))
        );
        assert_eq!(seen.response_body, *content);
        assert_eq!(seen.ends, [super::exchange::ExchangeEnd::Complete]);
    }
    assert_eq!(seen.len(), answered.len());
}

async fn taken(n: usize, response: Response<Incoming>) -> (usize, u16, Vec<u8>) {
    let status = response.status().as_u16();
    (
        n,
        status,
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
}

#[tokio::test]
async fn http1_agrees_with_hyper() {
    let (tap, provider, tape) = tapped(1000);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request| answer(Arc::clone(&asked), request));
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(provider), service);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tap))
        .await
        .unwrap();
    let agent = async move {
        let mut answered = Vec::new();
        for n in 0..48 {
            sender.ready().await.unwrap();
            answered.push(taken(n, sender.send_request(request(n)).await.unwrap()).await);
        }
        answered
    };
    let (served, connected, answered) = tokio::join!(server, connection, agent);
    served.unwrap();
    connected.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_agreement(&observed(Alpn::Http1, &tape), asked, answered);
}

#[tokio::test]
async fn http2_agrees_with_hyper_on_many_streams() {
    let (tap, provider, tape) = tapped(5000);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request| answer(Arc::clone(&asked), request));
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let server = server.serve_connection(TokioIo::new(provider), service);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tap));
    let agent = async move {
        let (sender, connection) = handshake.await.unwrap();
        let calls = join_all((0..80).map(|n| {
            let mut sender = sender.clone();
            async move { taken(n, sender.send_request(request(n)).await.unwrap()).await }
        }));
        drop(sender);
        let (connected, answered) = tokio::join!(connection, calls);
        connected.unwrap();
        answered
    };
    let (served, answered) = tokio::join!(server, agent);
    served.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_agreement(&observed(Alpn::H2, &tape), asked, answered);
}

/// Field number `n` of a large head: some repeat across heads, some are unique, some are longer
/// than the table.
fn filler(stream: usize) -> HeaderMap {
    let name = |n: usize| format!("x-{n}").parse().unwrap();
    let value = |n: usize| {
        HeaderValue::from_str(&format!(
            "{}{}",
            n * (stream % 3),
            "v".repeat(n * n * 20 * usize::from(stream.is_multiple_of(7)) + n)
        ))
        .unwrap()
    };
    (0..16).map(|n| (name(n), value(n))).collect()
}

async fn h2_agrees_with_tables(agent_table: u32, provider_table: u32) {
    let (tap, provider, tape) = tapped(3000);
    let server = async move {
        let mut builder = h2::server::Builder::new();
        builder
            .header_table_size(provider_table)
            .max_header_list_size(1 << 20);
        let mut connection = builder.handshake::<_, Bytes>(provider).await.unwrap();
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted.unwrap();
            let n: usize = request.uri().path()[1..].parse().unwrap();
            let mut response = Response::builder()
                .status(200)
                .header("retry-after", n)
                .body(())
                .unwrap();
            response.headers_mut().extend(filler(n));
            respond.send_response(response, true).unwrap();
        }
    };
    let agent = async move {
        let mut builder = h2::client::Builder::new();
        builder
            .header_table_size(agent_table)
            .max_header_list_size(1 << 20);
        let (sender, connection) = builder.handshake::<_, Bytes>(tap).await.unwrap();
        let calls = async move {
            let mut waiting = FuturesUnordered::new();
            for n in 0..40 {
                let mut sender = sender.clone().ready().await.unwrap();
                let mut request = Request::builder()
                    .uri(format!("https://x/{n:04}"))
                    .body(())
                    .unwrap();
                request.headers_mut().extend(filler(n));
                waiting.push(sender.send_request(request, true).unwrap().0);
                if n % 5 == 0 {
                    while let Some(response) = waiting.next().await {
                        response.unwrap();
                    }
                }
            }
            while let Some(response) = waiting.next().await {
                response.unwrap();
            }
        };
        let (connected, ()) = tokio::join!(connection, calls);
        connected.unwrap();
    };
    tokio::join!(server, agent);
    let seen = observed(Alpn::H2, &tape);
    assert_eq!(seen.len(), 40);
    for (n, seen) in seen.iter().enumerate() {
        assert_eq!(seen.request.path, format!("/{n:04}"));
        assert_eq!(
            seen.response.as_ref().unwrap().fields.retry_after_seconds,
            Some(n as u64)
        );
    }
}

#[tokio::test]
async fn header_tables_of_every_size_stay_in_step_with_h2() {
    for (agent, provider) in [
        (4096, 4096),
        (0, 4096),
        (4096, 0),
        (64, 1000),
        (65_536, 65_536),
        (16_384, 128),
    ] {
        h2_agrees_with_tables(agent, provider).await;
    }
}
