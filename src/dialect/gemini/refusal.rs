//! An `error` object (google.rpc.Status): why the provider refused, and for how long. Its message
//! is never read.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::dialect::answer::Refusal;
use crate::dialect::times::{duration, timestamp};
use crate::observe::json::Value;
use crate::record::{QuotaWindow, RateLimitReason};

/// What an error object says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ErrorObject {
    /// It says that a quota, a rate or the capacity is used up.
    exhausted: bool,
    reason: Option<RateLimitReason>,
    /// The longest span of the quotas that are used up.
    span: Option<Span>,
    retry_delay: Option<Duration>,
    reset_delay: Option<Duration>,
    resets_at: Option<SystemTime>,
}

/// The time for which a quota of the public APIs is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Span {
    Minute,
    Day,
}

/// One value of an error object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Detail {
    /// `code`: the HTTP status.
    Code,
    /// `status`: the name of the gRPC code.
    Status,
    /// `details[].violations[].quotaId` of a QuotaFailure, or `details[].metadata.quota_limit` of
    /// an ErrorInfo.
    QuotaId,
    /// `details[].reason` of an ErrorInfo.
    Reason,
    /// `details[].retryDelay` of a RetryInfo.
    RetryDelay,
    /// `details[].metadata.quotaResetDelay` of an ErrorInfo.
    ResetDelay,
    /// `details[].metadata.quotaResetTimeStamp` of an ErrorInfo.
    ResetTime,
}

impl ErrorObject {
    pub(super) fn take(&mut self, detail: Detail, value: Value<'_>) {
        let (Value::Number(text) | Value::String { text, cut: false }) = value else {
            return;
        };
        match detail {
            // The HTTP status; the code of gRPC where a gateway passes it on.
            Detail::Code => self.exhausted |= text == "429" || text == "8",
            Detail::Status => self.exhausted |= text == "RESOURCE_EXHAUSTED",
            Detail::QuotaId => self.span = self.span.max(span(text)),
            Detail::Reason => self.reason = rate_limit_reason(text).or(self.reason),
            Detail::RetryDelay => self.retry_delay = duration(text).or(self.retry_delay),
            Detail::ResetDelay => self.reset_delay = duration(text).or(self.reset_delay),
            Detail::ResetTime => self.resets_at = timestamp(text).or(self.resets_at),
        }
    }

    /// What the error object means; `now` dates a quota that is said to be full again after a while.
    pub(super) fn read(self, now: SystemTime) -> Refusal {
        let is_of_day = self.span == Some(Span::Day);
        Refusal {
            is_limit: self.exhausted || self.reason.is_some() || self.span.is_some(),
            reason: self.rate_limit_reason(),
            retry_after: self.retry_delay,
            resets_at: self
                .resets_at
                .or_else(|| now.checked_add(self.reset_delay?))
                .or_else(|| is_of_day.then(|| end_of_quota_day(now))?),
            window: Some(if is_of_day {
                QuotaWindow::Day
            } else {
                QuotaWindow::Unspecified
            }),
        }
    }

    /// A quota of a day that is used up says more than that requests came too fast, which stands
    /// beside it.
    fn rate_limit_reason(&self) -> RateLimitReason {
        match (self.reason, self.span) {
            (None | Some(RateLimitReason::RateLimitExceeded), Some(Span::Day)) => {
                RateLimitReason::QuotaExhausted
            }
            (Some(reason), _) => reason,
            (None, Some(Span::Minute)) => RateLimitReason::RateLimitExceeded,
            (None, _) => RateLimitReason::Unspecified,
        }
    }
}

/// The span in the name of a quota: `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
fn span(quota: &str) -> Option<Span> {
    if quota.contains("PerDay") {
        Some(Span::Day)
    } else if quota.contains("PerMinute") {
        Some(Span::Minute)
    } else {
        None
    }
}

/// Quotas of a day are full again at midnight Pacific time (Gemini API, "Rate limits"; Google
/// Cloud, "Quotas").
fn end_of_quota_day(now: SystemTime) -> Option<SystemTime> {
    let now = Timestamp::try_from(now)
        .ok()?
        .in_tz("America/Los_Angeles")
        .ok()?;
    SystemTime::try_from(now.tomorrow().ok()?.start_of_day().ok()?.timestamp()).ok()
}

fn rate_limit_reason(text: &str) -> Option<RateLimitReason> {
    match text {
        "INSUFFICIENT_G1_CREDITS_BALANCE" | "QUOTA_EXHAUSTED" => {
            Some(RateLimitReason::QuotaExhausted)
        }
        "MODEL_CAPACITY_EXHAUSTED" => Some(RateLimitReason::Capacity),
        "RATE_LIMIT_EXCEEDED" => Some(RateLimitReason::RateLimitExceeded),
        _ => None,
    }
}
