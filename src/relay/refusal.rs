//! Why a connection ended before any byte passed, and how that is named in facts, in the log and in
//! TLS alerts.

use tracing::{debug, warn};

use super::dial::DialError;
use crate::budget::Stop;
use crate::record::{Fact, HandshakeFailure, Label as _, Record, RefuseReason, Side, TimeoutStep};
use crate::tls::hello::HelloError;
use crate::tls::leaf::LeafError;

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the TLS handshake with the agent failed ({0}); does the agent trust the CA?")]
    AgentHandshake(HandshakeFailure),
    #[error("{0}")]
    Budget(Stop),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Hello(HelloError),
    #[error(transparent)]
    Leaf(#[from] LeafError),
    #[error("Gravimeter is shutting down")]
    Shutdown,
    #[error("the step {0} took too long")]
    Timeout(TimeoutStep),
    #[error("the TLS handshake with the provider failed ({0})")]
    UpstreamHandshake(HandshakeFailure),
}

impl Refusal {
    /// Records the refusal as facts, and logs it once.
    pub(super) fn emit(&self, record: &dyn Record) {
        if let Self::Timeout(step) = self {
            record.record(Fact::TimedOut(*step));
        }
        if let Some((side, reason)) = self.handshake() {
            record.record(Fact::HandshakeFailed { side, reason });
        }
        let reason = self.reason();
        record.record(Fact::ConnectionRefused(reason));
        match reason {
            // A budget says once that it stops calls, however often agents try.
            RefuseReason::AgentGone | RefuseReason::Budget | RefuseReason::Shutdown => {
                debug!(%reason, error = %self, "gave up a connection")
            }
            _ => warn!(%reason, error = %self, "refused a connection"),
        }
    }

    /// The failure whose TLS alert the agent gets.
    pub(super) fn alert(&self) -> HandshakeFailure {
        match self {
            Self::Timeout(_) => HandshakeFailure::Timeout,
            Self::UpstreamHandshake(reason) => *reason,
            // `access_denied` is its alert, and a loop is what it stands for.
            Self::Budget(_) | Self::Dial(DialError::Forbidden(_)) => HandshakeFailure::OwnCa,
            Self::AgentHandshake(_)
            | Self::Dial(_)
            | Self::Hello(_)
            | Self::Leaf(_)
            | Self::Shutdown => HandshakeFailure::Closed,
        }
    }

    /// The failure of the step, as its span names it.
    pub(super) fn failure(&self) -> &'static str {
        self.handshake()
            .map_or_else(|| self.reason().as_str(), |(_, failure)| failure.as_str())
    }

    pub(super) fn reason(&self) -> RefuseReason {
        match self {
            Self::AgentHandshake(_) | Self::Leaf(_) => RefuseReason::AgentHandshake,
            Self::Budget(_) => RefuseReason::Budget,
            Self::Dial(DialError::Forbidden(reason)) => *reason,
            Self::Dial(DialError::Resolve(_) | DialError::Unreachable(_)) => {
                RefuseReason::UpstreamConnect
            }
            Self::Hello(HelloError::Closed | HelloError::Io(_)) => RefuseReason::AgentGone,
            Self::Hello(HelloError::Malformed | HelloError::NotTls | HelloError::TooLarge) => {
                RefuseReason::BadHello
            }
            Self::Shutdown => RefuseReason::Shutdown,
            Self::Timeout(_) => RefuseReason::Timeout,
            Self::UpstreamHandshake(_) => RefuseReason::UpstreamHandshake,
        }
    }

    fn handshake(&self) -> Option<(Side, HandshakeFailure)> {
        match self {
            Self::AgentHandshake(reason) => Some((Side::Agent, *reason)),
            Self::UpstreamHandshake(reason) => Some((Side::Upstream, *reason)),
            Self::Timeout(TimeoutStep::AgentHandshake) => {
                Some((Side::Agent, HandshakeFailure::Timeout))
            }
            Self::Timeout(TimeoutStep::UpstreamHandshake) => {
                Some((Side::Upstream, HandshakeFailure::Timeout))
            }
            _ => None,
        }
    }
}
