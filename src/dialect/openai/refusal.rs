//! Why a provider refused: the names in its error object, and the header field that says when to
//! come back. The message is never read.

use std::time::{Duration, SystemTime};

use crate::dialect::answer::Refusal;
use crate::dialect::times::unix_time;
use crate::dialect::verdict::is_success;
use crate::observe::exchange::ResponseHead;
use crate::observe::json::Value;
use crate::record::RateLimitReason;

/// How long to wait, in milliseconds. It stands beside `retry-after`, which has whole seconds.
pub(super) const RETRY_AFTER: &str = "retry-after-ms";

/// One value of an error object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// `code` or `type`: the name of the error, or its HTTP status.
    Name,
    /// `resets_at`: when the limit of a plan ends, in seconds of Unix time.
    ResetsAt,
}

/// The values of an error object that are read.
pub(super) const DETAILS: [(&str, Detail); 3] = [
    ("code", Detail::Name),
    ("type", Detail::Name),
    ("resets_at", Detail::ResetsAt),
];

/// What an error object says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ErrorObject {
    kind: ErrorKind,
    resets_at: Option<SystemTime>,
}

/// The kinds of error that are distinguished. Where an object names several, the last of them
/// counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum ErrorKind {
    #[default]
    Other,
    /// A limit, of which no more is said.
    Limit,
    RateLimit,
    Capacity,
    Quota,
}

impl ErrorKind {
    fn of(name: &str) -> Self {
        match name {
            "429" | "too_many_requests" => Self::Limit,
            "RateLimitReached"
            | "rate_limit_error"
            | "rate_limit_exceeded"
            | "rate_limit_reached_error"
            | "requests"
            | "tokens" => Self::RateLimit,
            "engine_overloaded_error"
            | "overloaded_error"
            | "server_is_overloaded"
            | "slow_down" => Self::Capacity,
            "exceeded_current_quota_error" | "insufficient_quota" | "usage_limit_reached" => {
                Self::Quota
            }
            _ => Self::Other,
        }
    }
}

impl ErrorObject {
    pub(super) fn take(&mut self, detail: Detail, value: &Value<'_>) {
        let (Value::Number(text) | Value::String { text, cut: false }) = value else {
            return;
        };
        match detail {
            Detail::Name => self.kind = self.kind.max(ErrorKind::of(text)),
            Detail::ResetsAt => self.resets_at = unix_time(text).or(self.resets_at),
        }
    }

    /// What both say together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            kind: self.kind.max(other.kind),
            resets_at: self.resets_at.or(other.resets_at),
        }
    }
}

/// What the head of a response says of limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    retry_after: Option<Duration>,
}

impl Limits {
    pub(super) fn of(head: &ResponseHead) -> Self {
        let field = head.fields.get(RETRY_AFTER);
        let is_refusal = !is_success(head.status);
        Self {
            retry_after: field
                .filter(|_| is_refusal)
                .and_then(|text| text.parse().ok())
                .map(Duration::from_millis),
        }
    }

    /// What it means, together with the error object; `None` where neither says anything.
    pub(super) fn refusal(self, error: Option<ErrorObject>) -> Option<Refusal> {
        if error.is_none() && self.retry_after.is_none() {
            return None;
        }
        let ErrorObject { kind, resets_at } = error.unwrap_or_default();
        Some(Refusal {
            is_limit: kind != ErrorKind::Other,
            reason: match kind {
                ErrorKind::Other | ErrorKind::Limit => RateLimitReason::Unspecified,
                ErrorKind::RateLimit => RateLimitReason::RateLimitExceeded,
                ErrorKind::Capacity => RateLimitReason::Capacity,
                ErrorKind::Quota => RateLimitReason::QuotaExhausted,
            },
            retry_after: self.retry_after,
            resets_at,
            ..Refusal::default()
        })
    }
}
