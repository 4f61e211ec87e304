//! Names of the diagnostic spans, which show where a connection's time goes.
//!
//! Who makes such a span and who exports it agree here on its target and its fields. A span of
//! [`TARGET`] is of nobody else's concern: it is made only where diagnostics are on, and never
//! stands in the log. Its fields hold numbers, words of closed sets and the host of the provider.

use tracing::Span;

use super::{Disposition, Label as _, RefuseReason};

/// The target of every diagnostic span, and of nothing else.
pub const TARGET: &str = "gravimeter::diagnostics";

/// Bytes from the provider to the agent.
pub const BYTES_RECEIVED: &str = "gravimeter.bytes.received";
/// Bytes from the agent to the provider.
pub const BYTES_SENT: &str = "gravimeter.bytes.sent";
/// [`Disposition`].
pub const DISPOSITION: &str = "gravimeter.disposition";
/// By which door a connection came.
pub const DOOR: &str = "gravimeter.door";
/// How a connection ended that was open on both sides.
pub const END: &str = "gravimeter.end";
/// Why a step failed.
pub const ERROR_TYPE: &str = "error.type";
/// [`super::LeafResult`].
pub const LEAF: &str = "gravimeter.leaf";
/// The provider's host.
pub const SERVER_ADDRESS: &str = "server.address";
/// Whether an earlier session was resumed.
pub const TLS_RESUMED: &str = "tls.resumed";
/// [`super::TlsVersion`].
pub const TLS_VERSION: &str = "tls.protocol.version";
/// Why a connection is tunnelled.
pub const TUNNEL_WHY: &str = "gravimeter.tunnel.why";

/// Every field that a diagnostic span may have.
pub const FIELDS: [&str; 11] = [
    BYTES_RECEIVED,
    BYTES_SENT,
    DISPOSITION,
    DOOR,
    END,
    ERROR_TYPE,
    LEAF,
    SERVER_ADDRESS,
    TLS_RESUMED,
    TLS_VERSION,
    TUNNEL_WHY,
];

/// Says on the span of a connection what is done with it.
pub fn disposed(connection: &Span, disposition: Disposition) {
    connection.record(DISPOSITION, disposition.as_str());
}

/// Says on the span of a connection that it is refused, and why.
pub fn refused(connection: &Span, reason: RefuseReason) {
    disposed(connection, Disposition::Refused);
    connection.record(ERROR_TYPE, reason.as_str());
}
