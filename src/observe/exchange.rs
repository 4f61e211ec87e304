//! One request and its response, as the framings hand them on.
//!
//! A framing (HTTP/1 or HTTP/2) calls [`OpenExchange::open`] for each request head and then, in
//! order, the methods of the returned [`Exchange`]: request body and end may interleave with the
//! response, interim (1xx) heads are not passed on, and [`Exchange::end`] comes exactly once,
//! whatever happens. Bodies are free of transfer coding but not of content coding.

use std::time::Instant;

use super::Direction;
use super::coding::DecodeLimit;
use crate::record::TraceParent;

/// The request line (or pseudo-fields) and the few header fields that observation needs.
///
/// Other fields are never taken, so that no secret can leak from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The listed pairs that the query holds; nothing else of the query is kept.
    pub query: Vec<&'static str>,
    /// The listed fields.
    pub fields: Fields,
}

/// The status line and the few header fields that observation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The final status, 200 to 599.
    pub status: u16,
    /// The listed fields.
    pub fields: Fields,
}

/// The listed header fields: everything that Gravimeter ever reads of a head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// `content-type`, lower case, without parameters.
    pub content_type: Option<String>,
    /// `content-encoding` codings in the order applied, lower case.
    pub content_encoding: Vec<String>,
    /// `retry-after`, when it is a number of seconds.
    pub retry_after_seconds: Option<u64>,
    /// `traceparent` (W3C Trace Context).
    pub trace_parent: Option<TraceParent>,
    /// The fields of [`Listed`] in the order in which they came, those with short values of visible
    /// ASCII characters.
    pub listed: Vec<(&'static str, String)>,
    /// Those whose names have one of [`Listed::endings`], in lower case, with their values.
    pub by_ending: Vec<(String, String)>,
}

impl Fields {
    /// The value of a field of [`Listed`]; the last one where it came several times.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.listed.iter().rev();
        values
            .find(|(listed, _)| *listed == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What is read of heads beside what any HTTP message may have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Listed {
    /// Names of header fields, in lower case.
    pub fields: &'static [&'static str],
    /// Endings of further names (`-limit-name`), in lower case, where a provider makes names up as
    /// it goes. Only names that begin with `x-` are taken.
    pub endings: &'static [&'static str],
    /// Header fields of which only what a function makes of the value is kept.
    pub reduced: &'static [Reduced],
    /// Pairs of a query (`alt=sse`) of which it is noted that they are there.
    pub query: &'static [&'static str],
}

impl Listed {
    /// What any HTTP message may have is enough.
    pub(crate) const NOTHING: Self = Self {
        fields: &[],
        endings: &[],
        reduced: &[],
        query: &[],
    };

    /// The listed ending that a name has, if it may be taken for that.
    pub(crate) fn ending_of(&self, name: &[u8]) -> Option<&'static str> {
        let is_own = name.len() <= MAX_NAME_BYTES
            && name
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"x-"));
        let has = |ending: &&&str| {
            let start = name.len().checked_sub(ending.len());
            let end = start.and_then(|start| name.get(start..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(ending.as_bytes()))
        };
        self.endings.iter().find(has).copied().filter(|_| is_own)
    }

    /// The names of all fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let reduced = self.reduced.iter().map(|(name, _)| *name);
        self.fields.iter().copied().chain(reduced)
    }
}

/// The longest name that is taken for its ending; known ones have some forty bytes.
const MAX_NAME_BYTES: usize = 96;

/// The name of a header field, and what makes of its value the text to be kept, if there is any.
pub(crate) type Reduced = (&'static str, fn(&[u8]) -> Option<String>);

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExchangeEnd {
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
    /// The connection or stream left HTTP (101, or a successful CONNECT).
    Upgraded,
}

/// Decides, head by head, whether an exchange is of interest.
pub(crate) trait OpenExchange: Send {
    /// Opens an observation of the exchange, or `None` to skip its bodies. `at` is when the first
    /// byte of the request was read.
    fn open(&mut self, head: &RequestHead, at: Instant) -> Option<Box<dyn Exchange>>;

    /// What is to be read of heads. Asked for once, at the beginning of a connection.
    fn listed(&self) -> Listed;
}

/// Observes one exchange.
pub(crate) trait Exchange: Send {
    /// Reads bytes of the request body. Returns how many: all, unless so much was decompressed that
    /// the limit is reached. Those that are left come again, before others.
    fn read_request(&mut self, bytes: &[u8], at: Instant, limit: &mut DecodeLimit) -> usize;

    /// The final response head.
    fn response_head(&mut self, head: &ResponseHead, at: Instant);

    /// Reads bytes of the response body, as [`Exchange::read_request`] does those of the request.
    fn read_response(&mut self, bytes: &[u8], at: Instant, limit: &mut DecodeLimit) -> usize;

    /// The connection, or the stream of HTTP/2, leaves HTTP with this exchange, by a response with
    /// this head. Returns what observes the bytes that follow, if anything does. The exchange ends
    /// afterwards, as [`ExchangeEnd::Upgraded`].
    fn upgrade(&mut self, _head: &ResponseHead, _at: Instant) -> Option<Box<dyn Session>> {
        None
    }

    /// The exchange has ended; `at` is when its last byte was read.
    fn end(self: Box<Self>, end: ExchangeEnd, at: Instant);

    /// Reads all of the bytes of the request body, however long that takes.
    #[cfg(test)]
    fn request_body(&mut self, mut bytes: &[u8], at: Instant) {
        while !bytes.is_empty() {
            bytes = &bytes[self.read_request(bytes, at, &mut DecodeLimit::default())..];
        }
    }

    /// Reads all of the bytes of the response body, however long that takes.
    #[cfg(test)]
    fn response_body(&mut self, mut bytes: &[u8], at: Instant) {
        while !bytes.is_empty() {
            bytes = &bytes[self.read_response(bytes, at, &mut DecodeLimit::default())..];
        }
    }
}

/// Observes what follows an upgrade, which may be any number of calls.
pub(crate) trait Session: Send {
    /// Reads bytes of a direction, in the order in which they passed. Returns how many: all, unless
    /// so much was decompressed that the limit is reached. Those that are left come again, before
    /// others of the same direction.
    fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> usize;

    /// Whether nothing is under way, so that closing the connection now cuts nothing off.
    fn is_idle(&self) -> bool;

    /// The connection or stream has ended. Calls that are under way end with it.
    fn end(self: Box<Self>, end: ExchangeEnd, at: Instant);
}
