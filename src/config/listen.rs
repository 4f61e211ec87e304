//! Settings that say where something listens, if it does.

use std::net::SocketAddr;

use super::value::{Value, Wrong};

/// Where the CONNECT proxy listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// At this address.
    At(SocketAddr),
    /// At [`crate::capture::CONNECT_PROXY`] where no redirect is expected, nowhere beside one.
    Auto,
    /// Nowhere.
    Off,
}

impl Listen {
    /// An address such as `example`, `"auto"` or `"off"`.
    pub(super) fn of(value: &Value, example: &str) -> Result<Self, Wrong> {
        match value {
            Value::Text(text) if text == "auto" => Ok(Self::Auto),
            Value::Text(text) if text == "off" => Ok(Self::Off),
            _ => address_or(value, example, r#""auto" or "off""#).map(Self::At),
        }
    }
}

/// An address such as `example`, or `"off"`.
pub(super) fn address_or_off(value: &Value, example: &str) -> Result<Option<SocketAddr>, Wrong> {
    match value {
        Value::Text(text) if text == "off" => Ok(None),
        _ => address_or(value, example, r#"or "off""#).map(Some),
    }
}

/// An address; what is told of anything else names the `words` that may stand there as well.
fn address_or(value: &Value, example: &str, words: &str) -> Result<SocketAddr, Wrong> {
    value
        .address(example)
        .map_err(|wrong| Wrong::new(format!("{}, {words}", wrong.message)))
}
