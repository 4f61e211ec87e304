//! One level of a JSON text: where its members or elements stand.
//!
//! `serde_json` does the reading; this only asks it where the parts are.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::EditError;

/// What a value consists of.
pub(super) enum Children {
    Object(Vec<Member>),
    /// Where the elements stand.
    Array(Vec<Range<usize>>),
    /// It is a text, a number, `true`, `false` or `null`.
    None,
}

/// A member of an object. Places are relative to the object's text.
pub(super) struct Member {
    /// Its name, without escapes.
    pub(super) name: String,
    /// Name and value.
    pub(super) entry: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Where the one value of a document stands; what surrounds it is white space.
pub(super) fn whole(text: &str) -> Result<Range<usize>, EditError> {
    let value: &RawValue = read(text)?;
    Ok(place(text, value))
}

/// The members or elements of a value, which has no white space around it.
pub(super) fn children(value: &str) -> Result<Children, EditError> {
    match value.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = read(value)?;
            Ok(Children::Object(with_entries(value, members)))
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = read(value)?;
            let places = elements.into_iter().map(|element| place(value, element));
            Ok(Children::Array(places.collect()))
        }
        _ => Ok(Children::None),
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, EditError> {
    serde_json::from_str(text).map_err(|_| EditError::NotJson)
}

/// Where a part that was read of a text stands in it.
fn place(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + part.get().len()
}

/// Adds where each member begins: at its name, which follows the comma behind the member before it,
/// or the opening bracket.
fn with_entries(object: &str, members: Members<'_>) -> Vec<Member> {
    let mut end = 1;
    let mut entries = Vec::with_capacity(members.0.len());
    for (name, value) in members.0 {
        let value = place(object, value);
        let between = object.get(end..value.start).unwrap_or_default();
        let start = between.find('"').map_or(value.start, |quote| end + quote);
        end = value.end;
        entries.push(Member {
            name,
            entry: start..value.end,
            value,
        });
    }
    entries
}

/// The members of an object in their order, also those whose names come twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
