//! The agent: asks for every exchange of the script, checks that it gets what the provider has sent
//! to the byte, and goes away where the script says so.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

use super::provider::{NUMBER, Script};
use super::script::{Ending, Exchange, Http};
use crate::kit::agent::{Agent, knock};
use crate::kit::{read_all, read_some};

/// How many exchanges share a connection of HTTP/2 at a time.
const STREAMS: usize = 4;

/// What every worker of the agent needs.
#[derive(Clone)]
pub struct Client {
    pub door: SocketAddr,
    pub one: Arc<Agent>,
    pub two: Arc<Agent>,
    pub script: Arc<Script>,
    pub tasks: TaskTracker,
}

impl Client {
    async fn connect(&self, host: &str, http: Http) -> TlsStream<TcpStream> {
        let agent = match http {
            Http::One => &self.one,
            Http::Two => &self.two,
        };
        let tcp = knock(self.door, &format!("{host}:443")).await;
        let tls = agent.handshake(tcp.expect("an open door"), host).await;
        tls.expect("trust")
    }

    /// Exchanges with one host over one HTTP: one after the other, or several at a time.
    pub async fn exchange(self, host: &'static str, http: Http, numbers: Vec<usize>) {
        match http {
            Http::One => self.one_by_one(host, numbers).await,
            Http::Two => self.side_by_side(host, numbers).await,
        }
    }

    async fn one_by_one(self, host: &str, numbers: Vec<usize>) {
        let mut open: Option<(http1::SendRequest<Full<Bytes>>, AbortHandle)> = None;
        for number in numbers {
            let (mut sender, connection) = match open.take() {
                Some(open) => open,
                None => {
                    let io = TokioIo::new(self.connect(host, Http::One).await);
                    let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
                    (sender, self.tasks.spawn(connection).abort_handle())
                }
            };
            let exchange = &self.script.exchanges[number];
            sender.ready().await.expect("an open connection");
            let request = request(exchange, number, exchange.path);
            let response = sender.send_request(request).await.expect("an answer");
            self.receive(response, number).await;
            match exchange.ending {
                Ending::Whole => open = Some((sender, connection)),
                Ending::ProviderBreaks => {}
                // That ends the connection, and the answer with it.
                Ending::AgentLeaves => connection.abort(),
            }
        }
    }

    async fn side_by_side(self, host: &str, numbers: Vec<usize>) {
        let io = TokioIo::new(self.connect(host, Http::Two).await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .expect("HTTP/2");
        self.tasks.spawn(connection);
        let exchange = |number: usize| {
            let (mut sender, client) = (sender.clone(), &self);
            async move {
                let exchange = &client.script.exchanges[number];
                sender.ready().await.expect("an open connection");
                let uri = format!("https://{host}{}", exchange.path);
                let request = request(exchange, number, &uri);
                let response = sender.send_request(request).await.expect("an answer");
                client.receive(response, number).await;
            }
        };
        stream::iter(numbers)
            .for_each_concurrent(STREAMS, exchange)
            .await;
    }

    /// Reads an answer to its end, or to where it breaks off.
    async fn receive(&self, response: Response<Incoming>, number: usize) {
        let exchange = &self.script.exchanges[number];
        assert_eq!(response.status(), exchange.status, "{number}");
        let mut body = response.into_body();
        let mut received = Vec::new();
        while received.len() < exchange.response.len() {
            let bytes = more(&mut body).await.expect("more bytes");
            received.extend_from_slice(&bytes.expect("in order"));
        }
        assert!(
            received == exchange.response,
            "{number}: the answer came unchanged"
        );
        match exchange.ending {
            Ending::Whole => assert!(more(&mut body).await.is_none(), "{number}: the end"),
            Ending::ProviderBreaks => {
                self.script.arrived[number].notify_one();
                let end = more(&mut body).await.expect("an end that is none");
                assert!(end.is_err(), "{number}: broken off");
            }
            Ending::AgentLeaves => {}
        }
    }

    /// A WebSocket with all of its turns.
    pub async fn converse(self, number: usize) {
        let session = &self.script.sessions[number];
        let mut tls = self.connect(session.host, Http::One).await;
        let offer = if session.is_deflated {
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        } else {
            ""
        };
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nAuthorization: Bearer canary\r\n{NUMBER}: {number}\r\n{offer}\r\n",
            session.path, session.host
        );
        tls.write_all(head.as_bytes())
            .await
            .expect("an open connection");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(tls.read_u8().await.expect("an answer"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{number}: agreed");
        for (question, answer) in &session.turns {
            tls.write_all(question).await.expect("an open socket");
            tls.flush().await.expect("an open socket");
            let received = read_some(&mut tls, answer.len()).await;
            assert!(received == *answer, "{number}: the answer came unchanged");
        }
        assert!(
            read_all(&mut tls).await.0.is_empty(),
            "{number}: nothing else"
        );
    }
}

/// The next bytes of a body; frames of HTTP/2 may be empty.
async fn more(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        let data = body
            .frame()
            .await?
            .map(|frame| frame.into_data().expect("bytes"));
        if !data.as_ref().is_ok_and(Bytes::is_empty) {
            return Some(data);
        }
    }
}

fn request(exchange: &Exchange, number: usize, uri: &str) -> Request<Full<Bytes>> {
    let mut request = Request::post(uri)
        .header("authorization", "Bearer canary")
        .header("content-type", "application/json")
        .header(NUMBER, number);
    if exchange.http == Http::One {
        request = request.header("host", exchange.host);
    }
    if let Some(coding) = exchange.request_coding {
        request = request.header("content-encoding", coding);
    }
    let body = Full::from(exchange.request.clone());
    request.body(body).expect("a request")
}
