//! One request and its response, as the framings hand them on.
//!
//! A framing (HTTP/1 or HTTP/2) calls [`OpenExchange::open`] for each request head and then, in
//! order, the methods of the returned [`Exchange`]: request body and end may interleave with the
//! response, interim (1xx) heads are not passed on, and [`Exchange::end`] comes exactly once,
//! whatever happens. Bodies are free of transfer coding but not of content coding.

use std::time::Instant;

use bytes::Bytes;

use crate::record::TraceParent;

/// The request line (or pseudo-fields) and the few header fields that observation needs.
///
/// Other fields are never taken, so that no secret can leak from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// Whether the query asks for server-sent events (`alt=sse`); nothing else of the query is
    /// kept.
    pub alt_sse: bool,
    /// The listed fields.
    pub fields: Fields,
}

/// The status line and the few header fields that observation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The final status, 200 to 599.
    pub status: u16,
    /// The listed fields.
    pub fields: Fields,
}

/// The listed header fields: everything that Gravimeter ever reads of a head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// `content-type`, lower case, without parameters.
    pub content_type: Option<String>,
    /// `content-encoding` codings in the order applied, lower case.
    pub content_encoding: Vec<String>,
    /// `retry-after`, when it is a number of seconds.
    pub retry_after_seconds: Option<u64>,
    /// `x-cloudaicompanion-trace-id`.
    pub cloud_trace_id: Option<Bytes>,
    /// `traceparent` (W3C Trace Context).
    pub trace_parent: Option<TraceParent>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// The agent went away, or reset the stream.
    AgentGone,
    /// The response is complete, but the agent had sent its last byte before it was. An agent may
    /// end its side and read on; one that cancels ends its side, too, and the provider then often
    /// ends what it was sending in order.
    AgentLeft,
    /// Request and response are complete.
    Complete,
    /// The framing could not be read any further; the traffic went on unobserved.
    Lost,
    /// The provider reset the stream (`RST_STREAM`, or `GOAWAY` below its id).
    ProviderReset,
    /// Gravimeter shut down, or a timeout passed.
    Shutdown,
    /// The connection ended before the message did.
    Truncated,
    /// The connection left HTTP (101, or a successful CONNECT); what follows is opaque.
    Upgraded,
}

/// Decides, head by head, whether an exchange is of interest.
pub trait OpenExchange: Send {
    /// Opens an observation of the exchange, or `None` to skip its bodies. `at` is when the first
    /// byte of the request was read.
    fn open(&mut self, head: &RequestHead, at: Instant) -> Option<Box<dyn Exchange>>;
}

/// Observes one exchange.
pub trait Exchange: Send {
    /// Bytes of the request body.
    fn request_body(&mut self, bytes: &[u8], at: Instant);

    /// The final response head.
    fn response_head(&mut self, head: &ResponseHead, at: Instant);

    /// Bytes of the response body.
    fn response_body(&mut self, bytes: &[u8], at: Instant);

    /// The exchange has ended; `at` is when its last byte was read.
    fn end(self: Box<Self>, end: ExchangeEnd, at: Instant);
}
