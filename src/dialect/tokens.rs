//! Counts of tokens as providers write them.

use crate::observe::json::Value;
use crate::record::TokenUsage;

/// A count from the wire: a JSON number, or the same in quotes as 64-bit integers are written by
/// protobuf. `None` for anything that is no count of tokens (negative, fractional, absurdly large).
pub(super) fn count(value: &Value<'_>) -> Option<u64> {
    let (Value::Number(text) | Value::String { text, cut: false }) = value else {
        return None;
    };
    // Of what `str::parse` takes, a sign would have to be refused first.
    let digits = text.bytes().try_fold(0_u64, |tokens, byte| {
        let digit = char::from(byte).to_digit(10)?;
        tokens.checked_mul(10)?.checked_add(digit.into())
    });
    digits.filter(|tokens| *tokens <= TokenUsage::MAX_OF_A_KIND && !text.is_empty())
}

/// Adds what was reported to what is known.
pub(super) fn add(sum: &mut TokenUsage, more: &TokenUsage) {
    sum.merge(more, |sum, more| {
        *sum = match (*sum, more) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
    });
}
