//! Why Anthropic refused: the kind of error, the status, and the header fields about limits.

use std::time::SystemTime;

use crate::dialect::answer::Refusal;
use crate::dialect::times::unix_time;
use crate::observe::exchange::ResponseHead;
use crate::record::RateLimitReason;

/// Whether a subscription allows the call: `allowed`, `allowed_warning` or `rejected`.
pub(super) const STATUS: &str = "anthropic-ratelimit-unified-status";

/// When the limit of a subscription ends, in seconds of Unix time.
pub(super) const RESET: &str = "anthropic-ratelimit-unified-reset";

/// What the head of a response says of limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    is_overloaded: bool,
    /// The quota of a subscription is used up.
    is_rejected: bool,
    resets_at: Option<SystemTime>,
}

impl Limits {
    pub(super) fn of(head: &ResponseHead) -> Self {
        let is_rejected = head.fields.get(STATUS) == Some("rejected");
        let reset = head.fields.get(RESET).filter(|_| is_rejected);
        Self {
            is_overloaded: head.status == OVERLOADED,
            is_rejected,
            resets_at: reset.and_then(unix_time),
        }
    }

    /// What it means, together with the kind of error that the body names; `None` where neither
    /// says anything.
    pub(super) fn refusal(self, error: Option<ErrorKind>) -> Option<Refusal> {
        let of_error = match error {
            None | Some(ErrorKind::Other) => None,
            Some(ErrorKind::Overloaded) => Some(RateLimitReason::Capacity),
            Some(ErrorKind::RateLimit) => Some(RateLimitReason::RateLimitExceeded),
        };
        let reason = match of_error {
            Some(RateLimitReason::RateLimitExceeded) if self.is_rejected => {
                Some(RateLimitReason::QuotaExhausted)
            }
            None if self.is_overloaded => Some(RateLimitReason::Capacity),
            reason => reason,
        };
        (error.is_some() || reason.is_some()).then(|| Refusal {
            is_limit: reason.is_some(),
            reason: reason.unwrap_or_default(),
            resets_at: self.resets_at,
            ..Refusal::default()
        })
    }
}

/// The kinds of error that are distinguished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKind {
    Overloaded,
    RateLimit,
    Other,
}

impl ErrorKind {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "overloaded_error" => Self::Overloaded,
            "rate_limit_error" => Self::RateLimit,
            _ => Self::Other,
        }
    }
}

/// Anthropic's own status for want of capacity.
const OVERLOADED: u16 = 529;
