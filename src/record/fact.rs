//! All that the traffic side ever says.

use std::time::{Duration, SystemTime};

use super::{
    ByteDirection, Call, CallStarted, ContentChunk, Disposition, Handshake, HandshakeFailure, IpFamily, LeafResult,
    ObserverFailure, RefuseReason, RestartReason, Side, TimeoutStep,
};

/// One thing that happened. Facts are stated once, where they happen, and never taken back.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The observed process was started again.
    AgentRestarted(RestartReason),
    /// The observed process runs, or does not.
    AgentUp(bool),
    /// Accepting a connection failed (out of file descriptors or memory).
    AcceptFailed,
    /// Bytes were passed on.
    Bytes {
        /// Which way.
        direction: ByteDirection,
        /// How many.
        count: u64,
    },
    /// When the CA certificate ends.
    CaExpiry(SystemTime),
    /// A call ended.
    Call(Box<Call>),
    /// A call began.
    CallStarted(CallStarted),
    /// A connection ended that had been counted as opened.
    ConnectionClosed(Disposition),
    /// A connection was intercepted or tunnelled.
    ConnectionOpened(Disposition),
    /// A connection was refused.
    ConnectionRefused(RefuseReason),
    /// A content-bearing event followed another one.
    ContentChunk(ContentChunk),
    /// A handshake succeeded.
    Handshake(Handshake),
    /// A handshake failed.
    HandshakeFailed {
        /// Which session.
        side: Side,
        /// Why.
        reason: HandshakeFailure,
    },
    /// A leaf certificate was needed.
    Leaf(LeafResult),
    /// The observer lost figures.
    ObserverFailed(ObserverFailure),
    /// The redirect rules are in place, or not.
    Redirect {
        /// Of which family.
        family: IpFamily,
        /// Whether they are in place.
        active: bool,
    },
    /// A chunk was read and written: what lay between is what the house itself adds.
    RelayDelay(Duration),
    /// A step took longer than it may.
    TimedOut(TimeoutStep),
    /// A TCP connection to a provider was made.
    UpstreamConnected(Duration),
}
