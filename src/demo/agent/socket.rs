//! A WebSocket to the provider, over which an agent asks for one response after another.

use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rand::Rng;
use serde_json::Value;
use tokio::time::timeout;

use super::call::{CallError, READ_TIMEOUT};
use super::dial::Dialer;
use crate::demo::pieces::Pieces;
use crate::demo::websocket::{Error, OFFER, Role, Socket, is_agreed, is_sealed, key};

/// An open socket.
pub(super) struct AgentSocket {
    path: &'static str,
    socket: Socket<TokioIo<Upgraded>>,
}

/// An answer, as far as it came.
pub(super) struct Events {
    pub(super) events: Vec<Value>,
    /// It is not what the provider has sent.
    pub(super) is_corrupt: bool,
}

impl AgentSocket {
    /// Opens a socket on a connection of its own, which must speak HTTP/1.1.
    pub(super) async fn open(
        dialer: &Dialer,
        path: &'static str,
        headers: &[(&'static str, String)],
        nonce: &mut impl Rng,
    ) -> Result<Self, CallError> {
        let mut connection = dialer.connect().await?;
        let request = handshake(dialer.host(), path, headers, &key(nonce.random()));
        let request = request.map_err(CallError::Request)?;
        let response = timeout(READ_TIMEOUT, connection.send(request)).await;
        let response = response.map_err(|_| CallError::TimedOut { path })?;
        let response = response.map_err(|source| CallError::Http { path, source })?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(CallError::NoSocket { path, status });
        }
        let Some(is_deflated) = is_agreed(response.headers()) else {
            return Err(CallError::Extension { path });
        };
        let upgraded = timeout(READ_TIMEOUT, hyper::upgrade::on(response)).await;
        let upgraded = upgraded.map_err(|_| CallError::TimedOut { path })?;
        let upgraded = upgraded.map_err(|source| CallError::Http { path, source })?;
        let socket = Socket::new(TokioIo::new(upgraded), Role::Client, is_deflated);
        Ok(Self { path, socket })
    }

    /// Sends a request and reads its events to the last one.
    pub(super) async fn ask(&mut self, request: &Value) -> Result<Events, CallError> {
        let path = self.path;
        let failed = |source| CallError::Socket { path, source };
        self.socket
            .send(request.to_string())
            .await
            .map_err(failed)?;
        let (mut events, mut so_far) = (Vec::new(), String::new());
        loop {
            let next = timeout(READ_TIMEOUT, self.socket.next()).await;
            let next = next.map_err(|_| CallError::TimedOut { path })?;
            let text = next
                .unwrap_or(Err(Error::ConnectionClosed))
                .map_err(failed)?;
            let event: Value = serde_json::from_str(&text).unwrap_or_default();
            let kind = event.get("type").and_then(Value::as_str);
            let is_last = matches!(kind, Some("error" | "response.completed"));
            let is_corrupt = kind == Some("response.completed") && !is_sealed(&event, &so_far);
            so_far.push_str(&text);
            events.push(event);
            if is_last {
                return Ok(Events { events, is_corrupt });
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        self.socket.close().await;
    }
}

fn handshake(
    host: &str,
    path: &'static str,
    headers: &[(&'static str, String)],
    key: &str,
) -> Result<Request<Pieces>, http::Error> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key)
        .header(header::SEC_WEBSOCKET_EXTENSIONS, OFFER)
        .header(
            header::AUTHORIZATION,
            HeaderValue::from_static("Bearer demo"),
        );
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Pieces::chunked([], std::time::Duration::ZERO))
}
