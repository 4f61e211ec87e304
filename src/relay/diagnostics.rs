//! The diagnostic spans of a connection's steps; their names are in [`crate::record::diagnostics`].
//!
//! Each lasts as long as its step, also when the step is cut off. Where diagnostics are off none is
//! ever made, and nothing here costs more than a comparison.

use tracing::field::{self, Empty};
use tracing::{Instrument as _, Span, info_span};

use super::refusal::Refusal;
use crate::observe::{Direction, End};
use crate::record::diagnostics::{
    BYTES_RECEIVED, BYTES_SENT, END, ERROR_TYPE, LEAF, SERVER_ADDRESS, TARGET, TLS_RESUMED,
    TLS_VERSION,
};
use crate::record::{Handshake, Host, Label as _, LeafResult};

/// Runs a step in its span, which records the step's failure.
pub(super) async fn step<T>(
    span: Span,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let done = work.instrument(span.clone()).await;
    done.inspect_err(|refusal| {
        span.record(ERROR_TYPE, refusal.failure());
    })
}

/// Span until the agent has said where it wants to go.
pub(super) fn client_hello() -> Span {
    info_span!(target: TARGET, "client hello")
}

/// Span of dialling the provider, name resolution included.
pub(super) fn dial(host: Option<&Host>) -> Span {
    let host = host.map(field::display);
    info_span!(target: TARGET, "dial", { SERVER_ADDRESS } = host, { ERROR_TYPE } = Empty)
}

/// Span until the provider is verified.
pub(super) fn upstream_handshake(host: &Host) -> Span {
    let host = field::display(host);
    info_span!(
        target: TARGET,
        "tls handshake upstream",
        { SERVER_ADDRESS } = host,
        { TLS_VERSION } = Empty,
        { TLS_RESUMED } = Empty,
        { ERROR_TYPE } = Empty
    )
}

/// Span until there is a certificate for the agent.
pub(super) fn leaf() -> Span {
    info_span!(target: TARGET, "leaf certificate", { LEAF } = Empty, { ERROR_TYPE } = Empty)
}

/// Span until the agent has accepted that certificate.
pub(super) fn agent_handshake() -> Span {
    info_span!(
        target: TARGET,
        "tls handshake agent",
        { TLS_VERSION } = Empty,
        { TLS_RESUMED } = Empty,
        { ERROR_TYPE } = Empty
    )
}

/// Span of waiting for bytes in flight on connections that do not end in order.
pub(super) fn hang_up() -> Span {
    info_span!(target: TARGET, "hang up")
}

/// Records on the current step's span what kind of session was made.
pub(super) fn handshake_done(handshake: Handshake) {
    let span = Span::current();
    span.record(TLS_VERSION, handshake.version.as_str());
    span.record(TLS_RESUMED, handshake.resumed);
}

/// Records on the current step's span where the certificate came from.
pub(super) fn leaf_issued(result: LeafResult) {
    Span::current().record(LEAF, result.as_str());
}

/// The span of the bytes that pass on a connection. Its totals are recorded at any end: without
/// one, the connection was aborted.
pub(super) struct PassSpan {
    span: Span,
    sent: u64,
    received: u64,
    end: &'static str,
}

impl Default for PassSpan {
    fn default() -> Self {
        let span = info_span!(
            target: TARGET,
            "relay",
            { BYTES_SENT } = Empty,
            { BYTES_RECEIVED } = Empty,
            { END } = Empty
        );
        Self {
            span,
            sent: 0,
            received: 0,
            end: ABORTED,
        }
    }
}

impl PassSpan {
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn passed(&mut self, direction: Direction, count: u64) {
        match direction {
            Direction::ToAgent => self.received += count,
            Direction::ToProvider => self.sent += count,
        }
    }

    pub(super) fn ended(&mut self, end: End) {
        self.end = match end {
            End::AgentGone => "agent_gone",
            End::Closed => "closed",
            End::ProviderGone => "provider_gone",
            End::Shutdown => "shutdown",
            End::TimedOut(_) => "timed_out",
        };
    }
}

impl Drop for PassSpan {
    fn drop(&mut self) {
        self.span.record(BYTES_SENT, count(self.sent));
        self.span.record(BYTES_RECEIVED, count(self.received));
        self.span.record(END, self.end);
    }
}

/// OpenTelemetry has no unsigned numbers: `tracing-opentelemetry` would make a text of one.
fn count(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The task was dropped with the connection in it.
const ABORTED: &str = "aborted";
