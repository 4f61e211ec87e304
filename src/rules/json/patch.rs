//! JSON Patch (RFC 6902), applied to the text of a document.

use serde_json::Value;

use super::{EditError, Pointer, add, find, part, remove, replace};

/// One operation of a patch.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rules) enum Operation {
    /// Adds a member or an element, or replaces a member.
    Add {
        path: Pointer,
        /// As JSON text.
        value: String,
    },
    Copy {
        from: Pointer,
        path: Pointer,
    },
    Move {
        from: Pointer,
        path: Pointer,
    },
    Remove {
        path: Pointer,
    },
    Replace {
        path: Pointer,
        value: String,
    },
    /// Fails the whole patch unless this value stands there.
    Test {
        path: Pointer,
        value: Value,
    },
}

/// Applies the operations one after another.
pub(in crate::rules) fn apply(text: &str, patch: &[Operation]) -> Result<String, EditError> {
    patch
        .iter()
        .try_fold(text.to_owned(), |text, operation| one(&text, operation))
}

fn one(text: &str, operation: &Operation) -> Result<String, EditError> {
    let taken = |from: &Pointer| {
        let range = find(text, from)?.ok_or_else(|| EditError::Missing(from.clone()))?;
        Ok(part(text, &range).to_owned())
    };
    match operation {
        Operation::Add { path, value } => add(text, path, value),
        Operation::Copy { from, path } => add(text, path, &taken(from)?),
        Operation::Move { from, path } if from == path => taken(from).map(|_| text.to_owned()),
        Operation::Move { from, path } if from.contains(path) => {
            Err(EditError::IntoItself(path.clone()))
        }
        Operation::Move { from, path } => {
            let value = taken(from)?;
            add(&remove(text, from)?, path, &value)
        }
        Operation::Remove { path } => remove(text, path),
        Operation::Replace { path, value } => replace(text, path, value),
        Operation::Test { path, value } => {
            let stands = serde_json::from_str::<Value>(&taken(path)?);
            if stands.is_ok_and(|stands| stands == *value) {
                Ok(text.to_owned())
            } else {
                Err(EditError::TestFailed(path.clone()))
            }
        }
    }
}

/// Reads one operation of a patch.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub(in crate::rules) fn operation(given: &Value) -> Result<Operation, String> {
    let members = given
        .as_object()
        .ok_or_else(|| format!("this is not an operation: write {HOW}"))?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let pointer = |name: &str| {
        let text = text(name).ok_or_else(|| format!("an operation needs `{name}`: write {HOW}"))?;
        Pointer::parse(text).ok_or_else(|| {
            format!("{text:?} is not a JSON pointer: it begins with / and has / before each name")
        })
    };
    let value = || {
        members
            .get("value")
            .ok_or_else(|| format!("an operation of this kind needs `value`: write {HOW}"))
    };
    let op = text("op").unwrap_or_default();
    let known: &[&str] = match op {
        "add" | "replace" | "test" => &["op", "path", "value"],
        "copy" | "move" => &["op", "path", "from"],
        "remove" => &["op", "path"],
        _ => {
            return Err(format!(
                "there is no operation {op:?}: write add, copy, move, remove, replace or test"
            ));
        }
    };
    if let Some(extra) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!(
            "`{op}` has no `{extra}`: write {}",
            known.join(", ")
        ));
    }
    let path = pointer("path")?;
    Ok(match op {
        "add" => Operation::Add {
            path,
            value: value()?.to_string(),
        },
        "copy" => Operation::Copy {
            from: pointer("from")?,
            path,
        },
        "move" => Operation::Move {
            from: pointer("from")?,
            path,
        },
        "remove" => Operation::Remove { path },
        "replace" => Operation::Replace {
            path,
            value: value()?.to_string(),
        },
        _ => Operation::Test {
            path,
            value: value()?.clone(),
        },
    })
}

/// What an operation looks like.
const HOW: &str = r#"{ op = "replace", path = "/temperature", value = 0 }"#;
