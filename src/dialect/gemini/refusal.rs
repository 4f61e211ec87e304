//! An `error` object (google.rpc.Status): why the provider refused, and for how long. Its message is never read.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::observe::json::Value;
use crate::record::{RateLimit, RateLimitReason};

/// What an error object says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dialect) struct Refusal {
    /// It says that a quota, a rate or the capacity is used up.
    exhausted: bool,
    reason: Option<RateLimitReason>,
    retry_delay: Option<Duration>,
    reset_delay: Option<Duration>,
    resets_at: Option<SystemTime>,
}

/// One value of an error object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Detail {
    /// `code`: the HTTP status.
    Code,
    /// `status`: the name of the gRPC code.
    Status,
    /// `details[].reason` of an ErrorInfo.
    Reason,
    /// `details[].retryDelay` of a RetryInfo.
    RetryDelay,
    /// `details[].metadata.quotaResetDelay` of an ErrorInfo.
    ResetDelay,
    /// `details[].metadata.quotaResetTimeStamp` of an ErrorInfo.
    ResetTime,
}

impl Refusal {
    pub(super) fn take(&mut self, detail: Detail, value: Value<'_>) {
        let (Value::Number(text) | Value::String { text, cut: false }) = value else { return };
        match detail {
            Detail::Code => self.exhausted |= text == "429",
            Detail::Status => self.exhausted |= text == "RESOURCE_EXHAUSTED",
            Detail::Reason => self.reason = rate_limit_reason(text).or(self.reason),
            Detail::RetryDelay => self.retry_delay = duration(text).or(self.retry_delay),
            Detail::ResetDelay => self.reset_delay = duration(text).or(self.reset_delay),
            Detail::ResetTime => self.resets_at = timestamp(text).or(self.resets_at),
        }
    }

    /// The rate limit, when the refusal is one by its own words or by the status of the response.
    ///
    /// `retry_after` is the response's header, which the body's own delay overrides; `now` dates a quota that is said to be
    /// full again after a while.
    pub(in crate::dialect) fn rate_limit(
        &self,
        status: u16,
        retry_after: Option<Duration>,
        now: SystemTime,
    ) -> Option<RateLimit> {
        (status == 429 || self.exhausted || self.reason.is_some()).then(|| RateLimit {
            reason: self.reason.unwrap_or(RateLimitReason::Unspecified),
            retry_after: self.retry_delay.or(retry_after),
            resets_at: self.resets_at.or_else(|| now.checked_add(self.reset_delay?)),
        })
    }
}

fn rate_limit_reason(text: &str) -> Option<RateLimitReason> {
    match text {
        "INSUFFICIENT_G1_CREDITS_BALANCE" | "QUOTA_EXHAUSTED" => Some(RateLimitReason::QuotaExhausted),
        "MODEL_CAPACITY_EXHAUSTED" => Some(RateLimitReason::Capacity),
        "RATE_LIMIT_EXCEEDED" => Some(RateLimitReason::RateLimitExceeded),
        _ => None,
    }
}

/// `3.957525076s`, `900ms`, `135h9m46s`, `256527.79s`.
fn duration(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// RFC 3339.
pub(in crate::dialect) fn timestamp(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(text.parse::<Timestamp>().ok()?).ok()
}
