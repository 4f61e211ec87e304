//! Requests over HTTP: the connections that both protocols share, and protobuf over HTTP/1.1.

use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body;
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use prost::Message as _;
use rustls::ClientConfig;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::delivery::Message;
use super::{Compression, Destination, Headers, Signal};

/// Keeps connections to the collector.
pub(super) type Client<B> = legacy::Client<HttpsConnector<HttpConnector>, B>;

/// The tasks of connections. Dropping it ends them.
pub(super) struct Connections {
    tracker: TaskTracker,
    tls: ClientConfig,
    /// Ends the tasks of the last client's connections.
    end: DropGuard,
}

impl Connections {
    pub(super) fn new(tracker: TaskTracker, tls: ClientConfig) -> Self {
        Self {
            tracker,
            tls,
            end: CancellationToken::new().drop_guard(),
        }
    }

    /// A client that speaks HTTP/1.1, or HTTP/2 from the first byte on. The connections of an
    /// earlier one end.
    pub(super) fn client<B>(&mut self, http2: bool) -> Client<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http();
        let connector = if http2 {
            connector.enable_http2().wrap_connector(tcp)
        } else {
            connector.enable_http1().wrap_connector(tcp)
        };
        let end = CancellationToken::new();
        self.end = end.clone().drop_guard();
        let mut builder = legacy::Client::builder(ConnectionTasks {
            tracker: self.tracker.clone(),
            end,
        });
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .http2_only(http2);
        builder.build(connector)
    }
}

/// The tasks of all connections.
#[derive(Clone)]
struct ConnectionTasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl<F> Executor<F> for ConnectionTasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.tracker
            .spawn(self.end.clone().run_until_cancelled_owned(future));
    }
}

/// The header fields of each request; the operator's fields take precedence.
pub(super) fn fields(given: &Headers) -> HeaderMap {
    let mut fields = given.fields().clone();
    let own = HeaderValue::from_static(concat!(
        env!("CARGO_PKG_NAME"),
        "/",
        env!("CARGO_PKG_VERSION")
    ));
    fields.entry(USER_AGENT).or_insert(own);
    fields
}

/// Protobuf over HTTP/1.1.
pub(super) struct Http {
    client: Client<Full<Bytes>>,
    connections: Connections,
    uri: Uri,
    fields: HeaderMap,
    signal: Signal,
    compression: Compression,
}

impl Http {
    pub(super) fn new(
        signal: Signal,
        destination: &Destination,
        mut connections: Connections,
    ) -> Self {
        let mut fields = fields(&destination.headers);
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        let compression = destination.compression;
        if compression == Compression::Gzip {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = connections.client(false);
        Self {
            client,
            connections,
            uri: destination.endpoint.of(signal),
            fields,
            signal,
            compression,
        }
    }

    /// Closes the connection; the next request opens another one.
    pub(super) fn reconnect(&mut self) {
        self.client = self.connections.client(false);
    }

    /// The body of a request that may be sent more than once.
    pub(super) fn pack(&self, message: &Message) -> Bytes {
        let message = match message {
            Message::Metrics(message) => message.encode_to_vec(),
            Message::Traces(message) => message.encode_to_vec(),
        };
        match self.compression {
            Compression::Gzip => gzip(&message).into(),
            Compression::None => message.into(),
        }
    }

    /// Sends a request and reads its answer. The caller sets the limit in time.
    pub(super) async fn send(&self, body: Bytes) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.fields.clone();
        let Ok(response) = self.client.request(request).await else {
            return Answer::unreachable();
        };
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Answer::of_refusal(head.status, &head.headers, SystemTime::now());
        }
        match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => Answer::of_body(self.signal, &head.headers, body.to_bytes()),
            Err(_) => Answer::unreadable(),
        }
    }
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}

/// An answer is a number and a sentence; a collector that sends megabytes is something else.
pub(super) const MAX_ANSWER: usize = 64 * 1024;
