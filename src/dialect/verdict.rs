//! How a call ended and how far its tokens can be trusted: the two judgements, each in one place.
//!
//! Outcome. A status other than 2xx is the provider's own word and stands however the exchange ended. An answer whose
//! terminal event and usage were seen is `ok`, whatever happened to the connection after that. Otherwise whoever broke off
//! decides. What the house lost sight of itself (`Lost`, `Upgraded`) is nobody's fault and counts as `ok`: outcomes tell of
//! agent and provider, quality tells of us.
//!
//! Quality. `exact`: the final figures were seen, or there are none because nothing was generated (a refusal, a count of
//! tokens). `partial`: figures were seen, but not the terminal event, or part of the answer was unreadable. `unknown`:
//! tokens may have been spent, and no figure was seen.

use crate::observe::exchange::ExchangeEnd;
use crate::record::{Operation, Outcome, Quality};

/// All that the judgements depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    pub(super) operation: Operation,
    /// The status of the response, if there was one.
    pub(super) status: Option<u16>,
    /// The response is, or holds, an error that is a rate limit.
    pub(super) rate_limited: bool,
    /// An error stood inside an answer that began well.
    pub(super) error_in_answer: bool,
    pub(super) has_usage: bool,
    /// A finish reason was seen, or the answer is one document and whole.
    pub(super) has_ended: bool,
    /// Part of the answer could not be read.
    pub(super) unreadable: bool,
    pub(super) end: ExchangeEnd,
}

impl Evidence {
    pub(super) fn outcome(self) -> Outcome {
        if self.rate_limited {
            return Outcome::RateLimited;
        }
        match (self.status, self.end) {
            (Some(500..=599), _) => Outcome::ServerError,
            (Some(status), _) if !is_success(status) => Outcome::ClientError,
            _ if self.error_in_answer => Outcome::StreamError,
            _ if self.is_finished() => Outcome::Ok,
            (_, ExchangeEnd::Complete | ExchangeEnd::Lost | ExchangeEnd::Upgraded) => Outcome::Ok,
            (_, ExchangeEnd::AgentGone) => Outcome::Aborted,
            (_, ExchangeEnd::ProviderReset) => Outcome::StreamError,
            (_, ExchangeEnd::Shutdown | ExchangeEnd::Truncated) => Outcome::Truncated,
        }
    }

    pub(super) fn quality(self) -> Quality {
        let refused = self.status.is_some_and(|status| !is_success(status));
        if refused || self.operation == Operation::CountTokens {
            return Quality::Exact;
        }
        match (self.has_usage, self.is_finished() && !self.unreadable && !self.error_in_answer) {
            (true, true) => Quality::Exact,
            (true, false) => Quality::Partial,
            (false, _) => Quality::Unknown,
        }
    }

    /// Whether everything that the answer had to say was seen.
    fn is_finished(self) -> bool {
        self.has_ended && (self.has_usage || self.operation == Operation::CountTokens)
    }
}

/// Whether the status says that the body is the answer. A redirect or an interim status is none.
pub(super) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}
