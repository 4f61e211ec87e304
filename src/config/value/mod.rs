//! What a key is given, wherever it comes from, and the readers that turn it into a typed setting.
//!
//! A [`Value`] enters, a typed setting leaves, or a [`Wrong`] that says what was found and what to
//! write instead. Never echoes what a key marked as hidden was given.

mod budgets;
mod network;
mod parts;
mod plain;

use std::fmt;

pub(crate) use budgets::budget_of_a_day;

/// What a key is given, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A TOML float, as it stands.
    Fraction(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML array, or the parts of a variable or flag.
    List(Vec<Part>),
    /// A TOML table, or the `name=value` parts of a variable or flag.
    Map(Vec<Part>),
    /// A TOML type that no key takes, by its name.
    Other(&'static str),
    /// A TOML boolean.
    Switch(bool),
    /// A TOML string, or a variable or flag as it stands.
    Text(String),
}

/// One element of a list or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name; empty in a list.
    pub(super) name: String,
    pub(super) value: Value,
    /// Its line in the file, from 1; `None` outside a file.
    pub(super) line: Option<usize>,
}

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    /// The line of the part that is wrong, when it is known to be that part.
    pub(super) line: Option<usize>,
}

impl Wrong {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            line: None,
        }
    }
}

impl Value {
    /// The value as TOML; when it is `hidden`, a map only with its names and a text not at all.
    pub(super) fn to_toml(&self, hidden: bool) -> String {
        match self {
            Self::Map(parts) => {
                let value = |it: &Self| {
                    if hidden {
                        quoted("...")
                    } else {
                        it.to_toml(hidden)
                    }
                };
                let entry =
                    |part: &Part| format!("{} = {}", quoted(&part.name), value(&part.value));
                format!(
                    "{{ {} }}",
                    parts.iter().map(entry).collect::<Vec<_>>().join(", ")
                )
            }
            Self::List(parts) => {
                let values: Vec<_> = parts
                    .iter()
                    .map(|part| part.value.to_toml(hidden))
                    .collect();
                format!("[{}]", values.join(", "))
            }
            Self::Text(_) if hidden => quoted("..."),
            Self::Text(text) => quoted(text),
            Self::Fraction(text) => text.clone(),
            Self::Integer(_) | Self::Other(_) | Self::Switch(_) => self.to_string(),
        }
    }

    fn is_not(&self, what: &str, how: &str) -> Wrong {
        Wrong::new(format!("{self} is not {what}: write {how}"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Where one is wrong, that it is one is what is wrong.
            Self::Fraction(_) => f.write_str("a fraction"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a table"),
            Self::Other(name) => f.write_str(name),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
