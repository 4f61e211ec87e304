//! The difference between two trees, in the form of `exa.reactive_component_pb.MessageDiff`.

use super::tree::{Field, Message, Value};
use super::wire;
use super::wire::{Change, FieldDiff, KeyChange, MapDiff, MapKeyDiff, MessageDiff, RepeatedDiff, SingularValue};

/// What makes `new` of `old`.
pub(super) fn between(old: &Message, new: &Message) -> MessageDiff {
    let cleared = old.0.keys().filter(|number| !new.0.contains_key(number));
    let cleared = cleared.map(|number| (*number, Change::Clear(true)));
    let changed = new.0.iter().filter_map(|(number, field)| Some((*number, change(old.0.get(number), field)?)));
    let field_diffs = cleared.chain(changed);
    let field_diffs =
        field_diffs.map(|(field_number, change)| FieldDiff { field_number, change: Some(change) }).collect();
    MessageDiff { field_diffs }
}

fn change(old: Option<&Field>, new: &Field) -> Option<Change> {
    if old == Some(new) {
        return None;
    }
    Some(match (old, new) {
        (Some(Field::One(old)), Field::One(new)) => Change::Singular(value(Some(old), new)),
        (_, Field::One(new)) => Change::Singular(value(None, new)),
        (Some(Field::Many(old)), Field::Many(new)) => Change::Repeated(elements(old, new)),
        (_, Field::Many(new)) => Change::Repeated(elements(&[], new)),
        (old, Field::Map(new)) => {
            let none = std::collections::BTreeMap::new();
            let old = if let Some(Field::Map(old)) = old { old } else { &none };
            let cleared = old.keys().filter(|key| !new.contains_key(*key));
            let cleared = cleared.map(|key| (key, KeyChange::Clear(true)));
            let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
            let changed = changed.map(|(key, new)| (key, KeyChange::Singular(value(old.get(key), new))));
            Change::Map(MapDiff {
                map_key_diffs: cleared.chain(changed).map(|(key, change)| entry(key, change)).collect(),
            })
        }
    })
}

fn entry(key: &str, change: KeyChange) -> MapKeyDiff {
    let key = SingularValue { value: Some(wire::Value::Text(key.to_owned())) };
    MapKeyDiff { map_key: Some(key), change: Some(change) }
}

fn elements(old: &[Value], new: &[Value]) -> RepeatedDiff {
    let changed = new.iter().enumerate().filter(|(index, new)| old.get(*index) != Some(new));
    let (update_indices, update_values) =
        changed.map(|(index, new)| (number(index), value(old.get(index), new))).unzip();
    RepeatedDiff { new_length: number(new.len()), update_values, update_indices }
}

/// A scalar as it is; a message as its difference to the one that stands there, or to the empty one.
fn value(old: Option<&Value>, new: &Value) -> SingularValue {
    let value = match new {
        Value::Bool(value) => wire::Value::Bool(*value),
        Value::Enum(value) => wire::Value::Enum(*value),
        Value::Int32(value) => wire::Value::Int32(*value),
        Value::Int64(value) => wire::Value::Int64(*value),
        Value::Uint32(value) => wire::Value::Uint32(*value),
        Value::Uint64(value) => wire::Value::Uint64(*value),
        Value::Text(value) => wire::Value::Text(value.clone()),
        Value::Message(new) => wire::Value::Message(match old {
            Some(Value::Message(old)) => between(old, new),
            _ => between(&Message::default(), new),
        }),
    };
    SingularValue { value: Some(value) }
}

/// A conversation has far fewer entries than this could count.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
