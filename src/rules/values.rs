//! The values of a rule: a TOML value enters, what it means leaves, or what to write instead.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fallback;
use super::conditions::Subagent;
use super::fields::is_refused;
use super::glob::Glob;
use super::json::{Operation, Pointer, operation};
use crate::record::{HostPattern, Label, Model, RuleName};

/// A value with its place.
pub(super) type Given<'i> = Spanned<DeValue<'i>>;

pub(super) fn name(given: &DeValue<'_>) -> Result<RuleName, String> {
    let how = "a name has up to 64 letters, digits, '-', '_' and '.', such as \"short-answers\"";
    given
        .as_str()
        .and_then(RuleName::parse)
        .ok_or_else(|| how.to_owned())
}

pub(super) fn switch(given: &DeValue<'_>) -> Result<bool, String> {
    given
        .as_bool()
        .ok_or_else(|| "write true or false".to_owned())
}

/// A text that is not empty.
pub(super) fn text(given: &DeValue<'_>) -> Result<String, String> {
    let text = given.as_str().filter(|text| !text.trim().is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| "write a text in quotes, which is not empty".to_owned())
}

pub(super) fn tokens(given: &DeValue<'_>) -> Result<u64, String> {
    let how = || "write a number of tokens, such as 4096".to_owned();
    let DeValue::Integer(number) = given else {
        return Err(how());
    };
    let digits = number.as_str().replace('_', "");
    u64::from_str_radix(&digits, number.radix()).map_err(|_| how())
}

/// A size in MiB, in bytes.
pub(super) fn mebibytes(given: &DeValue<'_>) -> Result<usize, String> {
    let number = tokens(given)
        .ok()
        .and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| (1..=MAX_BODY_MIB).contains(number))
        .map(|number| number << 20)
        .ok_or_else(|| format!("write a number of MiB from 1 to {MAX_BODY_MIB}"))
}

pub(super) fn fallback(given: &DeValue<'_>) -> Result<Fallback, String> {
    match given.as_str() {
        Some("pass") => Ok(Fallback::Pass),
        Some("deny") => Ok(Fallback::Deny),
        _ => {
            Err(r#"write "pass" (the request goes as it was) or "deny" (it is refused)"#.to_owned())
        }
    }
}

pub(super) fn model(given: &DeValue<'_>) -> Result<Model, String> {
    let text = given.as_str().unwrap_or_default();
    let model = Model::from_wire(text);
    if model.as_str() == text && !text.contains('*') {
        Ok(model)
    } else {
        Err(
            "write the name of one model as the provider knows it, such as model = \"gpt-5.2-mini\""
                .to_owned(),
        )
    }
}

/// One text, or a list of them, each read by `read`.
pub(super) fn one_or_many<T>(
    given: &DeValue<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let how = || r#"write a text in quotes, or a list of them: ["a", "b"]"#.to_owned();
    match given {
        DeValue::String(text) => Ok(vec![read(text)?]),
        DeValue::Array(values) if values.is_empty() => Err(format!(
            "an empty list matches nothing: leave it out, or {}",
            how()
        )),
        DeValue::Array(values) => {
            let texts = values
                .iter()
                .map(|value| value.get_ref().as_str().ok_or_else(how));
            texts.map(|text| read(text?)).collect()
        }
        _ => Err(how()),
    }
}

pub(super) fn host(text: &str) -> Result<HostPattern, String> {
    HostPattern::parse(text).map_err(|wrong| {
        format!("{text:?} is no host: {wrong}; a * may stand in the first label, as in \"*.example.com\"")
    })
}

pub(super) fn glob(text: &str) -> Result<Glob, String> {
    Glob::parse(text).ok_or_else(|| {
        "an empty name matches nothing: leave it out, or write a name such as \"gpt-*\"".to_owned()
    })
}

/// A member of a closed set.
pub(super) fn label<T: Label>(text: &str) -> Result<T, String> {
    T::parse(text).ok_or_else(|| {
        let mut all: Vec<_> = T::ALL.iter().map(|label| label.as_str()).collect();
        all.sort_unstable();
        format!("there is no {text:?}: write one of {}", all.join(", "))
    })
}

pub(super) fn subagent(given: &DeValue<'_>) -> Result<Subagent, String> {
    match given {
        DeValue::Boolean(true) => Ok(Subagent::Any),
        DeValue::Boolean(false) => Ok(Subagent::Main),
        other => one_or_many(other, glob).map(Subagent::Kind).map_err(|_| {
            "write true (any subagent), false (the main agent), or kinds such as \"Explore\""
                .to_owned()
        }),
    }
}

/// The name of a header field that is only looked at.
pub(super) fn field(text: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(text)
        .map_err(|_| format!("{text:?} is no name of a header field, such as \"x-title\""))
}

/// The name of a header field that a rule may change.
pub(super) fn own_field(text: &str) -> Result<HeaderName, String> {
    let name = field(text)?;
    match is_refused(&name) {
        Some(why) => Err(format!(
            "{text:?} cannot be set or removed: {why}; leave it out"
        )),
        None => Ok(name),
    }
}

pub(super) fn field_value(given: &DeValue<'_>) -> Result<HeaderValue, String> {
    given
        .as_str()
        .and_then(|text| HeaderValue::from_str(text).ok())
        .ok_or_else(|| "write a text of visible ASCII characters and spaces".to_owned())
}

pub(super) fn pointer(text: &str) -> Result<Pointer, String> {
    match Pointer::parse(text) {
        Some(pointer) if !text.is_empty() => Ok(pointer),
        _ => Err(format!(
            "{text:?} is not a JSON pointer (RFC 6901): write / before each name, such as \"/temperature\" or \"/messages/0/content\""
        )),
    }
}

/// A table of pointers with values, as JSON texts.
pub(super) fn pointers(given: &DeValue<'_>) -> Result<Vec<(Pointer, String)>, String> {
    let how = || r#"write a table of JSON pointers and values: { "/temperature" = 0 }"#.to_owned();
    let table = given.as_table().ok_or_else(how)?;
    let entries = table.iter().map(|(name, value)| {
        let value = json(value.get_ref())?.to_string();
        Ok((pointer(name.get_ref())?, value))
    });
    entries.collect()
}

/// A patch, as a list of tables.
pub(super) fn patch(given: &DeValue<'_>) -> Result<Vec<Operation>, String> {
    let how = || {
        r#"write a list of operations of RFC 6902: [{ op = "replace", path = "/temperature", value = 0 }]"#
            .to_owned()
    };
    let operations = given.as_array().filter(|given| !given.is_empty());
    let operations = operations.ok_or_else(how)?.iter();
    operations
        .map(|given| json(given.get_ref()).and_then(|given| operation(&given)))
        .collect()
}

/// A TOML value as JSON. TOML has no `null`, and dates become texts.
fn json(given: &DeValue<'_>) -> Result<Value, String> {
    Ok(match given {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(on) => Value::from(*on),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            let number = i64::from_str_radix(&digits, number.radix());
            Value::from(number.map_err(|_| "this number is beyond 64 bits".to_owned())?)
        }
        DeValue::Float(number) => {
            let number = number.as_str().replace('_', "").parse::<f64>();
            let number = number.ok().and_then(serde_json::Number::from_f64);
            Value::from(number.ok_or_else(|| "JSON has no such number".to_owned())?)
        }
        DeValue::Array(values) => {
            let values = values.iter().map(|value| json(value.get_ref()));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Object(members(table)?),
    })
}

fn members(table: &DeTable<'_>) -> Result<Map<String, Value>, String> {
    let members = table
        .iter()
        .map(|(name, value)| Ok((name.get_ref().to_string(), json(value.get_ref())?)));
    members.collect()
}

/// What the decoder of bodies gives out at most.
const MAX_BODY_MIB: usize = 256;
