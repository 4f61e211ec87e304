//! Converts single JSON values. A value of an unexpected type or form becomes `None`.

use std::time::SystemTime;

use jiff::Timestamp;

use super::names::{Named, model_of_number};
use crate::observe::json::Value;
use crate::record::{Id, Model, TokenUsage};

/// A text that is short enough to have been kept completely.
pub(super) fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::String { text, cut: false } => Some(text),
        _ => None,
    }
}

/// Whether there is any text.
pub(super) fn has_text(value: Value<'_>) -> bool {
    matches!(value, Value::String { text, cut } if cut || !text.is_empty())
}

/// An identifier.
pub(super) fn id(value: Value<'_>) -> Option<Id> {
    text(value).and_then(Id::from_wire)
}

/// A model by its name on the wire.
pub(super) fn model(value: Value<'_>) -> Option<Model> {
    text(value)
        .filter(|text| !text.is_empty())
        .map(Model::from_wire)
}

/// A model by its name in the language server's enum.
pub(super) fn enum_model(value: Value<'_>) -> Option<Id> {
    match value {
        Value::Number(_) => model_of_number(whole_number(value)?),
        _ => id(value).filter(|id| id.as_str() != "MODEL_UNSPECIFIED"),
    }
}

/// A value of an enum.
pub(super) fn named<T: Named>(value: Value<'_>) -> Option<T> {
    match value {
        Value::Number(_) => T::from_number(whole_number(value)?),
        _ => T::from_name(text(value)?),
    }
}

/// RFC 3339.
pub(super) fn time(value: Value<'_>) -> Option<SystemTime> {
    SystemTime::try_from(text(value)?.parse::<Timestamp>().ok()?).ok()
}

/// A whole number, or the same in quotes as 64-bit integers are written by protobuf.
pub(super) fn whole_number(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(text) | Value::String { text, cut: false }
            if text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

/// A count of tokens.
pub(super) fn tokens(value: Value<'_>) -> Option<u64> {
    whole_number(value).filter(|tokens| *tokens <= TokenUsage::MAX_OF_A_KIND)
}

/// A fraction, clamped to 0 to 1. Infinity and NaN become `None`.
pub(super) fn fraction(value: Value<'_>) -> Option<f64> {
    let (Value::Number(text) | Value::String { text, cut: false }) = value else {
        return None;
    };
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .map(|number| number.clamp(0.0, 1.0))
}
