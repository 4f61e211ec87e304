//! Sends one request and reads its answer, on a connection that is kept as long as it lasts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rand::Rng;
use tokio::time::timeout;

use super::dial::{Connection, DialError, Dialer};
use super::socket::AgentSocket;
use crate::demo::digest::{HASH_HEADER, sha256};
use crate::demo::pieces::Pieces;

/// Sends requests one after the other.
pub(super) struct Caller {
    dialer: Arc<Dialer>,
    connection: Option<Connection>,
    /// Connections opened so far.
    pub(super) opened: u64,
}

/// A request.
pub(super) struct CallRequest {
    pub(super) path: &'static str,
    /// Header fields beside those that every request has, or instead of them.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// Without `Content-Length`, in several chunks.
    pub(super) chunked: bool,
    /// Stop reading after so many SSE events.
    pub(super) leave_after: Option<usize>,
}

/// An answer, with the body as it was on the wire.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The agent stopped before the end, as the request says.
    pub(super) left: bool,
}

/// Called with the head and the body so far, whenever more of an answer has come.
pub(super) type OnProgress<'a> = dyn FnMut(&Parts, &[u8]) + Send + 'a;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{path}: {source}")]
    Http {
        path: &'static str,
        source: hyper::Error,
    },
    #[error("{path}: nothing came for {} s", READ_TIMEOUT.as_secs())]
    TimedOut { path: &'static str },
    #[error("{path}: the answer is larger than {BODY_LIMIT} bytes")]
    TooLarge { path: &'static str },
    #[error("{0}: not a request")]
    Request(http::Error),
    #[error("{path}: no WebSocket, but status {status}")]
    NoSocket {
        path: &'static str,
        status: StatusCode,
    },
    #[error("{path}: the WebSocket has an extension that was not offered")]
    Extension { path: &'static str },
    #[error("{path}: the WebSocket broke: {source}")]
    Socket {
        path: &'static str,
        source: crate::demo::websocket::Error,
    },
}

impl Caller {
    /// Opens a WebSocket on a connection of its own.
    pub(super) async fn socket(
        &mut self,
        path: &'static str,
        headers: &[(&'static str, String)],
        nonce: &mut impl Rng,
    ) -> Result<AgentSocket, CallError> {
        self.opened += 1;
        AgentSocket::open(&self.dialer, path, headers, nonce).await
    }

    /// Creates a caller that connects with the first request.
    pub(super) fn new(dialer: Arc<Dialer>) -> Self {
        Self {
            dialer,
            connection: None,
            opened: 0,
        }
    }

    /// Sends `ask` and reads the whole answer, unless it says to stop early; `on_progress` is
    /// called each time that more has come. A failed connection is not used again.
    pub(super) async fn send(
        &mut self,
        ask: CallRequest,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Answer, CallError> {
        let mut connection = self.connection().await?;
        let (path, leave_after) = (ask.path, ask.leave_after);
        let request = self
            .request(ask, connection.is_http2())
            .map_err(CallError::Request)?;
        let sent = timeout(READ_TIMEOUT, connection.send(request)).await;
        let response = sent.map_err(|_| CallError::TimedOut { path })?;
        let (head, body) = response
            .map_err(|source| CallError::Http { path, source })?
            .into_parts();
        let (body, left) = read(path, body, leave_after, &mut |bytes| {
            on_progress(&head, bytes)
        })
        .await?;
        // HTTP/1.1 has no other way to stop an answer than to close.
        if !left || connection.is_http2() {
            self.connection = Some(connection);
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            left,
        })
    }

    async fn connection(&mut self) -> Result<Connection, DialError> {
        if let Some(mut kept) = self.connection.take()
            && matches!(timeout(READ_TIMEOUT, kept.is_ready()).await, Ok(true))
        {
            return Ok(kept);
        }
        self.opened += 1;
        self.dialer.connect().await
    }

    fn request(&self, ask: CallRequest, http2: bool) -> Result<Request<Pieces>, http::Error> {
        let host = self.dialer.host();
        let uri = Uri::builder().path_and_query(ask.path);
        let uri = if http2 {
            uri.scheme("https").authority(host)
        } else {
            uri
        }
        .build()?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::USER_AGENT, USER_AGENT)
            .header(
                header::AUTHORIZATION,
                HeaderValue::from_static("Bearer demo"),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT_ENCODING, "gzip")
            .header(HASH_HEADER, sha256(&ask.body));
        if !http2 {
            request = request.header(header::HOST, host);
        }
        if let Some(fields) = request.headers_mut() {
            for (name, value) in ask.headers {
                fields.insert(name, HeaderValue::try_from(value)?);
            }
        }
        let body = match ask.chunked {
            true => Pieces::chunked(split(&ask.body), Duration::ZERO),
            false => Pieces::complete(ask.body),
        };
        request.body(body)
    }
}

async fn read(
    path: &'static str,
    mut body: Incoming,
    leave_after: Option<usize>,
    on_progress: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(Vec<u8>, bool), CallError> {
    let mut bytes = Vec::new();
    loop {
        let next = timeout(READ_TIMEOUT, body.frame())
            .await
            .map_err(|_| CallError::TimedOut { path })?;
        let Some(frame) = next
            .transpose()
            .map_err(|source| CallError::Http { path, source })?
        else {
            return Ok((bytes, false));
        };
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if bytes.len() > BODY_LIMIT {
            return Err(CallError::TooLarge { path });
        }
        on_progress(&bytes);
        if leave_after.is_some_and(|events| count_events(&bytes) >= events) {
            return Ok((bytes, true));
        }
    }
}

fn count_events(bytes: &[u8]) -> usize {
    memchr::memmem::find_iter(bytes, b"\n\r\n").count()
        + memchr::memmem::find_iter(bytes, b"\n\n").count()
}

fn split(bytes: &Bytes) -> Vec<Bytes> {
    (0..bytes.len())
        .step_by(CHUNK)
        .map(|at| bytes.slice(at..bytes.len().min(at + CHUNK)))
        .collect()
}

const USER_AGENT: &str = "antigravity/1.19.6 linux/amd64";
/// Bytes in one chunk of an upload; not a divisor of anything, so that boundaries fall everywhere.
const CHUNK: usize = 5_003;
/// After so long without a byte the answer counts as lost.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is kept to be hashed.
const BODY_LIMIT: usize = 256 << 20;
