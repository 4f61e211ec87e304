//! HTTP on the two sides of a forwarded connection: hyper, with the limits that hold here.
//!
//! The limits of HTTP/2 bound what a peer can make us keep or do: heads, windows, streams, resets
//! (CVE-2023-44487, CVE-2025-8671) and frames that carry nothing. What a peer sends beyond them ends
//! its connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::{Request, Response, client, server};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::{BoxBody, BoxError};
use super::exchange::Exchanges;
use super::sender::Sender;
use super::side::{AgentStream, ProviderStream};
use super::tasks::Spawner;

/// The protocol on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Protocol {
    Http1,
    Http2,
}

/// The connection with the agent, which ends by itself when HTTP is over, or left.
pub(super) enum AgentHttp {
    Http1(Pin<Box<Http1Server>>),
    Http2(Pin<Box<Http2Server>>),
}

type Http1Server = server::conn::http1::UpgradeableConnection<TokioIo<AgentStream>, Service>;
type Http2Server = server::conn::http2::Connection<TokioIo<AgentStream>, Service, Spawner>;

/// The connection with a provider, which must be polled for anything to happen in it.
pub(super) type ProviderHttp = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl AgentHttp {
    /// Serves the requests that come on `stream`. What of HTTP goes on beside it is added to `parts`.
    pub(super) fn new(
        protocol: Protocol,
        stream: AgentStream,
        exchanges: Arc<Exchanges>,
        parts: Spawner,
    ) -> Self {
        let (io, service) = (TokioIo::new(stream), Service(exchanges));
        match protocol {
            Protocol::Http1 => {
                let connection = server::conn::http1::Builder::new()
                    .preserve_header_case(true)
                    .auto_date_header(false)
                    .max_buf_size(BUFFER)
                    .max_headers(MAX_FIELDS)
                    // The connection has limits of its own for heads and for silence.
                    .header_read_timeout(None)
                    .serve_connection(io, service);
                Self::Http1(Box::pin(connection.with_upgrades()))
            }
            Protocol::Http2 => {
                let connection = server::conn::http2::Builder::new(parts)
                    .auto_date_header(false)
                    .max_header_list_size(MAX_HEAD)
                    .initial_stream_window_size(WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .max_send_buf_size(BUFFER)
                    .max_concurrent_streams(MAX_STREAMS)
                    .max_pending_accept_reset_streams(MAX_RESETS)
                    .max_local_error_reset_streams(MAX_ERRORS)
                    .timer(TokioTimer::new())
                    .serve_connection(io, service);
                Self::Http2(Box::pin(connection))
            }
        }
    }

    /// Goes on; ready when HTTP is over. Must not be polled after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self {
            Self::Http1(connection) => connection.as_mut().poll(cx),
            Self::Http2(connection) => connection.as_mut().poll(cx),
        }
    }

    /// Accepts no further request; those that are open end in peace.
    pub(super) fn end_after_open_exchanges(&mut self) {
        match self {
            Self::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Self::Http2(connection) => connection.as_mut().graceful_shutdown(),
        }
    }
}

/// Hands requests to the exchanges.
pub(super) struct Service(Arc<Exchanges>);

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<BoxBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<BoxBody>, BoxError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(Arc::clone(&self.0).serve(request))
    }
}

/// Begins HTTP with a provider.
///
/// # Errors
/// The stream's.
pub(super) async fn with_provider(
    protocol: Protocol,
    stream: ProviderStream,
    parts: Spawner,
) -> hyper::Result<(Sender, ProviderHttp)> {
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let (sender, connection) = client::conn::http1::Builder::new()
                .preserve_header_case(true)
                .max_buf_size(BUFFER)
                .max_headers(MAX_FIELDS)
                .handshake(io)
                .await?;
            let sender = Sender::Http1(Mutex::new(sender));
            Ok((sender, Box::pin(connection.with_upgrades())))
        }
        Protocol::Http2 => {
            let (sender, connection) = client::conn::http2::Builder::new(parts)
                .max_header_list_size(MAX_HEAD)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(BUFFER)
                .max_pending_accept_reset_streams(MAX_RESETS)
                .max_local_error_reset_streams(MAX_ERRORS)
                .timer(TokioTimer::new())
                .handshake(io)
                .await?;
            Ok((Sender::Http2(sender), Box::pin(connection)))
        }
    }
}

/// The largest head of HTTP/1, and what is read or written at once: as much as observers read of a
/// head.
const BUFFER: usize = 64 << 10;

/// The largest head of HTTP/2, as its fields count there (RFC 9113 section 6.5.2).
const MAX_HEAD: u32 = 64 << 10;

/// Servers refuse more than 100 to 1000 fields.
const MAX_FIELDS: usize = 256;

/// Bytes of a body that a peer may send before we have passed on what it sent: enough for 50 Mbit/s
/// over a path of 40 ms, and all that a stalled stream can keep here.
const WINDOW: u32 = 256 << 10;

/// The same for all streams of a connection together.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Streams that an agent may have open. Agents have a handful.
const MAX_STREAMS: u32 = 100;

/// Streams that a peer may have reset before we have looked at them.
const MAX_RESETS: usize = 20;

/// Streams that we have reset for a mistake of the peer's.
const MAX_ERRORS: usize = 256;
