//! Edits a JSON text in place: the bytes of the values that are named change, all others stay.
//!
//! A document is never written anew from what was read of it. That would lose white space, the order
//! of members, members that come twice, and the digits of numbers that no machine type holds; a
//! provider's cache of the prompt would miss, and what the agent has sent could not be recognised.

mod patch;
mod pointer;
mod read;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub(super) use patch::{Operation, apply, operation};
pub(super) use pointer::Pointer;
use read::{Children, children, whole};

/// Why a text cannot be edited. Names places, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EditError {
    /// The text is not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// Nothing stands there.
    #[error("{0}: the request has nothing there")]
    Missing(Pointer),
    /// Two members have the same name: which one the provider reads is not known.
    #[error("{0}: two members have this name")]
    Ambiguous(Pointer),
    /// What stands there has no member or element of that name.
    #[error("{0}: its parent is neither an object nor an array that has such an element")]
    NoParent(Pointer),
    /// A value would be moved into itself.
    #[error("{0}: a value cannot be moved into itself")]
    IntoItself(Pointer),
    /// The whole document cannot be removed.
    #[error("the whole body cannot be removed")]
    Whole,
    /// A test of a patch failed.
    #[error("{0}: the patch tests for another value")]
    TestFailed(Pointer),
    /// What stands there is of another type than the rule needs.
    #[error("{place}: this is not {wanted}")]
    WrongType {
        /// Where.
        place: Pointer,
        /// What it should be: `a text or a list of texts`.
        wanted: &'static str,
    },
}

/// What happens where the parent of a new value does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parents {
    /// Objects are made; `null` counts as nothing.
    Created,
    /// It is an error.
    Required,
}

/// Where the value stands in the text; `None` where there is none.
pub(super) fn find(text: &str, pointer: &Pointer) -> Result<Option<Range<usize>>, EditError> {
    let mut range = whole(text)?;
    for depth in 0..pointer.depth() {
        let at = pointer.first(depth + 1);
        let Some(token) = at.last() else { break };
        let found = match children(part(text, &range))? {
            Children::Object(members) => {
                let mut named = members.iter().filter(|member| member.name == token);
                let first = named.next().map(|member| member.value.clone());
                if named.next().is_some() {
                    return Err(EditError::Ambiguous(at));
                }
                first
            }
            Children::Array(elements) => {
                index(token).and_then(|index| elements.get(index).cloned())
            }
            Children::None => None,
        };
        match found {
            Some(inner) => range = range.start + inner.start..range.start + inner.end,
            None => return Ok(None),
        }
    }
    Ok(Some(range))
}

/// The text of a value; `None` where there is none, or `null`.
pub(super) fn get<'a>(text: &'a str, pointer: &Pointer) -> Result<Option<&'a str>, EditError> {
    let range = find(text, pointer)?;
    Ok(range
        .map(|range| part(text, &range))
        .filter(|value| *value != "null"))
}

/// Puts the JSON text `value` there, in place of what stands there, if anything does.
pub(super) fn set(
    text: &str,
    pointer: &Pointer,
    value: &str,
    parents: Parents,
) -> Result<String, EditError> {
    if let Some(range) = find(text, pointer)? {
        return Ok(splice(text, range, value));
    }
    let Some((parent, token)) = pointer.split() else {
        return Ok(splice(text, whole(text)?, value));
    };
    let is_created = parents == Parents::Created;
    match find(text, &parent)? {
        Some(range) if is_created && part(text, &range) == "null" => {
            Ok(splice(text, range, &object(token, value)))
        }
        Some(range) => insert(text, &range, pointer, value),
        None if is_created => set(text, &parent, &object(token, value), parents),
        None => Err(EditError::Missing(parent)),
    }
}

/// Puts a value in place of what stands there.
pub(super) fn replace(text: &str, pointer: &Pointer, value: &str) -> Result<String, EditError> {
    let range = find(text, pointer)?.ok_or_else(|| EditError::Missing(pointer.clone()))?;
    Ok(splice(text, range, value))
}

/// Adds a value as RFC 6902 does: an element goes before the one that has its index.
pub(super) fn add(text: &str, pointer: &Pointer, value: &str) -> Result<String, EditError> {
    let Some((parent, _)) = pointer.split() else {
        return Ok(splice(text, whole(text)?, value));
    };
    let range = find(text, &parent)?.ok_or(EditError::Missing(parent))?;
    match children(part(text, &range))? {
        Children::Object(_) if find(text, pointer)?.is_some() => replace(text, pointer, value),
        _ => insert(text, &range, pointer, value),
    }
}

/// Takes a value away, with its name if it is a member.
pub(super) fn remove(text: &str, pointer: &Pointer) -> Result<String, EditError> {
    let (parent, token) = pointer.split().ok_or(EditError::Whole)?;
    let missing = || EditError::Missing(pointer.clone());
    find(text, pointer)?.ok_or_else(missing)?;
    let outer = find(text, &parent)?.ok_or_else(missing)?;
    let inside = part(text, &outer);
    let (entries, index): (Vec<Range<usize>>, _) = match children(inside)? {
        Children::Object(members) => {
            let index = members.iter().position(|member| member.name == token);
            let entries = members.into_iter().map(|member| member.entry).collect();
            (entries, index)
        }
        Children::Array(elements) => (elements, index(token)),
        Children::None => (Vec::new(), None),
    };
    let index = index.ok_or_else(missing)?;
    let entry = entries.get(index).ok_or_else(missing)?;
    let before = index.checked_sub(1).and_then(|before| entries.get(before));
    // The comma goes with it: the one before it, or that behind it where it is the first.
    let gone = match (before, entries.get(index + 1)) {
        (Some(before), _) => before.end..entry.end,
        (None, Some(next)) => entry.start..next.start,
        (None, None) => entry.clone(),
    };
    Ok(splice(
        text,
        outer.start + gone.start..outer.start + gone.end,
        "",
    ))
}

/// Adds a child to the object or array at `outer`.
fn insert(
    text: &str,
    outer: &Range<usize>,
    pointer: &Pointer,
    value: &str,
) -> Result<String, EditError> {
    let no_parent = || EditError::NoParent(pointer.clone());
    let token = pointer.last().ok_or_else(no_parent)?;
    let (entries, index, new): (Vec<Range<usize>>, _, _) = match children(part(text, outer))? {
        Children::Object(members) => {
            let entries: Vec<_> = members.into_iter().map(|member| member.entry).collect();
            let end = entries.len();
            (entries, end, member(token, value))
        }
        Children::Array(elements) => {
            let end = elements.len();
            let index = if token == "-" {
                Some(end)
            } else {
                index(token)
            };
            let index = index.filter(|index| *index <= end).ok_or_else(no_parent)?;
            (elements, index, value.to_owned())
        }
        Children::None => return Err(no_parent()),
    };
    let (at, new) = match (entries.get(index), entries.last()) {
        (Some(next), _) => (next.start, format!("{new},")),
        (None, Some(last)) => (last.end, format!(",{new}")),
        // Behind the opening bracket.
        (None, None) => (1, new),
    };
    Ok(splice(text, outer.start + at..outer.start + at, &new))
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{value}", quoted(name))
}

fn object(name: &str, value: &str) -> String {
    format!("{{{}}}", member(name, value))
}

/// An index of RFC 6901: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let is_plain = token == "0" || !token.starts_with('0');
    let is_number = is_plain && token.bytes().all(|byte| byte.is_ascii_digit());
    token.parse().ok().filter(|_| is_number)
}

fn part<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    [before, with, after].concat()
}
