//! Why Bedrock refused: the exception that the head of an answer names, or a message of its stream.

use crate::dialect::answer::Refusal;
use crate::dialect::verdict::is_success;
use crate::observe::exchange::ResponseHead;
use crate::record::RateLimitReason;

/// The exception that a refusal is, sometimes with a URI behind a `:` (`ThrottlingException:http:...`).
pub(super) const ERROR_TYPE: &str = "x-amzn-errortype";

/// What the head of a response says, if it is a refusal.
pub(super) fn of_head(head: &ResponseHead) -> Option<Refusal> {
    let refusal = of_exception(head.fields.get(ERROR_TYPE).unwrap_or_default());
    let is_throttled = head.status == TOO_MANY_REQUESTS && !refusal.is_limit;
    let refusal = if is_throttled { THROTTLED } else { refusal };
    (!is_success(head.status)).then_some(refusal)
}

/// What an exception says. Streams write its name with a small letter, heads with a capital one.
pub(super) fn of_exception(name: &str) -> Refusal {
    let name = name.split(':').next().unwrap_or_default();
    if name.eq_ignore_ascii_case("ThrottlingException") {
        THROTTLED
    } else if name.eq_ignore_ascii_case("ServiceQuotaExceededException") {
        Refusal {
            reason: RateLimitReason::QuotaExhausted,
            ..THROTTLED
        }
    } else {
        Refusal::default()
    }
}

/// Too many requests or tokens in a short time.
const THROTTLED: Refusal = Refusal {
    is_limit: true,
    reason: RateLimitReason::RateLimitExceeded,
    retry_after: None,
    resets_at: None,
    window: None,
};

const TOO_MANY_REQUESTS: u16 = 429;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exchange::Fields;

    #[test]
    fn the_exception_says_whether_a_limit_was_passed() {
        use RateLimitReason::{QuotaExhausted, RateLimitExceeded, Unspecified};
        for (status, name, expected) in [
            (200, "", None),
            (400, "ValidationException", Some((false, Unspecified))),
            (
                400,
                "ServiceQuotaExceededException",
                Some((true, QuotaExhausted)),
            ),
            (429, "", Some((true, RateLimitExceeded))),
            (
                429,
                "ModelNotReadyException",
                Some((true, RateLimitExceeded)),
            ),
            (
                429,
                "ThrottlingException:http://internal.amazon.com/x",
                Some((true, RateLimitExceeded)),
            ),
            (
                503,
                "ServiceUnavailableException",
                Some((false, Unspecified)),
            ),
        ] {
            let fields = Fields {
                listed: vec![(ERROR_TYPE, name.to_owned())],
                ..Fields::default()
            };
            let refusal = of_head(&ResponseHead { status, fields });
            let read = refusal.map(|refusal| (refusal.is_limit, refusal.reason));
            assert_eq!(read, expected, "{status} {name}");
        }
        assert!(of_exception("throttlingException").is_limit);
        assert!(!of_exception("modelStreamErrorException").is_limit);
    }
}
