//! A client of the language server's local RPC: a single request, a stream of JSON messages, or a
//! stream of protobuf differences.
//!
//! Input: a [`Method`] and a request; output: bytes in pieces (JSON) or messages (protobuf).
//! Replies of any size need constant memory, except protobuf messages, which have a limit. It
//! connects to loopback only (its own, or that of another network namespace), keeps no answer and no text of an error message, and does not parse
//! JSON replies.

mod answer;
mod dial;
mod endpoint;
mod error;
mod frames;
pub(super) mod fuzz;
mod grpc;
mod method;
mod probe;
mod reactive;
mod stream;
#[cfg(test)]
mod tests;
mod trust;

use std::time::Duration;

use http::header::ACCEPT_ENCODING;
use serde_json::Value;
use tokio_util::task::TaskTracker;

pub use endpoint::{Endpoint, EndpointError, Token};
pub use error::{Code, Malformation, RpcError, RpcStep};
pub use method::Method;
pub use probe::probe;
pub use reactive::{MAX_MESSAGE, ReactiveStream};
pub use stream::JsonStream;

use answer::{Answer, Question};
use dial::{Dialer, Port};

/// The client of one language server. Clones share the certificate that was pinned at the first use
/// of TLS.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
    dialer: Dialer,
    timeouts: Timeouts,
}

/// Timeouts for each wait on the language server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, TLS and HTTP/2 handshakes together.
    pub connect: Duration,
    /// From the request to the head of the answer, also that of a stream: its first message, which
    /// comes at once, holds everything known.
    pub head: Duration,
    /// Longest silence inside the body of a single answer. A stream may be silent for ever: nothing
    /// is sent while the agent is idle, and TCP finds out whether the other side is still there.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // On loopback it takes milliseconds; a machine under load takes a second.
            connect: Duration::from_secs(2),
            // A conversation of 50 MiB is assembled before the head is sent.
            head: Duration::from_secs(10),
            silence: Duration::from_secs(10),
        }
    }
}

impl Client {
    /// Creates a client without connecting. `tasks` tracks the tasks that move the bytes of
    /// connections; each ends with its answer.
    #[must_use]
    pub fn new(endpoint: Endpoint, tasks: TaskTracker) -> Self {
        let timeouts = Timeouts::default();
        let namespace = endpoint.namespace().cloned();
        Self {
            endpoint,
            dialer: Dialer::new(tasks, namespace, timeouts.connect),
            timeouts,
        }
    }

    /// With other timeouts.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.dialer.set_limit(timeouts.connect);
        self.timeouts = timeouts;
        self
    }

    /// The endpoint that it connects to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends one request and passes the JSON of the answer to `on`, in pieces of a few KiB as they
    /// arrive. When an error comes in the middle, `on` has received the beginning.
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// [`RpcError`]
    pub async fn unary(
        &self,
        method: Method,
        request: &Value,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), RpcError> {
        let (content_type, accept) = ("application/json", ACCEPT_ENCODING);
        let question = Question {
            path: method.path(),
            content_type,
            accept,
            body: request.to_string().into(),
        };
        self.ask(question).await?.read(&self.timeouts, on).await
    }

    /// Opens a stream of JSON messages. The connection closes when the stream is dropped.
    ///
    /// # Errors
    /// [`RpcError`], except errors that the stream itself reports.
    pub async fn stream(&self, method: Method, request: &Value) -> Result<JsonStream, RpcError> {
        let body = request.to_string();
        stream::open(self, method.path(), stream::JSON, body.as_bytes(), u64::MAX)
            .await
            .map(JsonStream::new)
    }

    /// Sends one request over HTTP/1.1: in the clear where possible, for nobody else can read
    /// loopback.
    async fn ask(&self, question: Question) -> Result<Answer, RpcError> {
        let port = self
            .endpoint
            .http()
            .map(Port::Http)
            .or(self.endpoint.https().map(Port::Https));
        // An endpoint has one of them.
        let port = port.ok_or(RpcError::Closed)?;
        let connection = self.dialer.http1(port).await?;
        answer::ask(
            connection,
            port,
            self.endpoint.token(),
            question,
            &self.timeouts,
        )
        .await
    }
}
