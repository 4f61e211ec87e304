//! The difference between two trees, in the form of `exa.reactive_component_pb.MessageDiff`.

use super::tree::{Field, Message, Value};
use super::wire;
use super::wire::{
    Change, FieldDiff, KeyChange, MapDiff, MapKeyDiff, MessageDiff, RepeatedDiff, SingularValue,
};

/// The difference that turns `old` into `new`.
pub(super) fn between(old: &Message, new: &Message) -> MessageDiff {
    let cleared = old.0.keys().filter(|number| !new.0.contains_key(number));
    let cleared = cleared.map(|number| (*number, Change::Clear(true)));
    let changed = new
        .0
        .iter()
        .filter_map(|(number, field)| Some((*number, change(old.0.get(number), field)?)));
    let field_diffs = cleared.chain(changed);
    let field_diffs = field_diffs
        .map(|(field_number, change)| FieldDiff {
            field_number,
            change: Some(change),
        })
        .collect();
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
            let old = if let Some(Field::Map(old)) = old {
                old
            } else {
                &none
            };
            let cleared = old.keys().filter(|key| !new.contains_key(*key));
            let cleared = cleared.map(|key| (key, KeyChange::Clear(true)));
            let changed = new
                .iter()
                .filter(|(key, value)| old.get(*key) != Some(value));
            let changed =
                changed.map(|(key, new)| (key, KeyChange::Singular(value(old.get(key), new))));
            Change::Map(MapDiff {
                map_key_diffs: cleared
                    .chain(changed)
                    .map(|(key, change)| entry(key, change))
                    .collect(),
            })
        }
    })
}

fn entry(key: &str, change: KeyChange) -> MapKeyDiff {
    let key = SingularValue {
        value: Some(wire::WireValue::Text(key.to_owned())),
    };
    MapKeyDiff {
        map_key: Some(key),
        change: Some(change),
    }
}

fn elements(old: &[Value], new: &[Value]) -> RepeatedDiff {
    let changed = new
        .iter()
        .enumerate()
        .filter(|(index, new)| old.get(*index) != Some(new));
    let (update_indices, update_values) = changed
        .map(|(index, new)| (number(index), value(old.get(index), new)))
        .unzip();
    RepeatedDiff {
        new_length: number(new.len()),
        update_values,
        update_indices,
    }
}

/// A scalar as it is; a message as its difference to the one that stands there, or to the empty
/// one.
fn value(old: Option<&Value>, new: &Value) -> SingularValue {
    let value = match new {
        Value::Bool(value) => wire::WireValue::Bool(*value),
        Value::Enum(value) => wire::WireValue::Enum(*value),
        Value::Int32(value) => wire::WireValue::Int32(*value),
        Value::Int64(value) => wire::WireValue::Int64(*value),
        Value::Uint32(value) => wire::WireValue::Uint32(*value),
        Value::Uint64(value) => wire::WireValue::Uint64(*value),
        Value::Text(value) => wire::WireValue::Text(value.clone()),
        Value::Message(new) => wire::WireValue::Message(match old {
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

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Makes the new state of the old one, as a client does.
    pub(in crate::demo::agent::rpc) fn apply(state: &mut Message, diff: &MessageDiff) {
        for FieldDiff {
            field_number,
            change,
        } in &diff.field_diffs
        {
            match change.as_ref().unwrap() {
                Change::Clear(_) => drop(
                    state
                        .0
                        .remove(field_number)
                        .expect("only what is there is cleared"),
                ),
                Change::Singular(new) => {
                    let old = match state.0.remove(field_number) {
                        Some(Field::One(old)) => Some(old),
                        _ => None,
                    };
                    state.0.insert(*field_number, Field::One(merged(old, new)));
                }
                Change::Repeated(new) => {
                    let mut old = match state.0.remove(field_number) {
                        Some(Field::Many(old)) => old,
                        _ => Vec::new(),
                    };
                    old.resize(new.new_length as usize, Value::Bool(false));
                    for (index, value) in new.update_indices.iter().zip(&new.update_values) {
                        let old = &mut old[*index as usize];
                        *old = merged(Some(old.clone()), value);
                    }
                    state.0.insert(*field_number, Field::Many(old));
                }
                Change::Map(new) => {
                    let mut old = match state.0.remove(field_number) {
                        Some(Field::Map(old)) => old,
                        _ => BTreeMap::new(),
                    };
                    for MapKeyDiff { map_key, change } in &new.map_key_diffs {
                        let Some(wire::WireValue::Text(key)) = map_key.clone().unwrap().value
                        else {
                            panic!("a text")
                        };
                        match change.as_ref().unwrap() {
                            KeyChange::Clear(_) => {
                                drop(old.remove(&key).expect("only what is there is cleared"))
                            }
                            KeyChange::Singular(value) => {
                                let value = merged(old.remove(&key), value);
                                old.insert(key, value);
                            }
                        }
                    }
                    state.0.insert(*field_number, Field::Map(old));
                }
            }
        }
    }

    fn merged(old: Option<Value>, new: &SingularValue) -> Value {
        match new.value.clone().unwrap() {
            wire::WireValue::Bool(value) => Value::Bool(value),
            wire::WireValue::Enum(value) => Value::Enum(value),
            wire::WireValue::Int32(value) => Value::Int32(value),
            wire::WireValue::Int64(value) => Value::Int64(value),
            wire::WireValue::Uint32(value) => Value::Uint32(value),
            wire::WireValue::Uint64(value) => Value::Uint64(value),
            wire::WireValue::Text(value) => Value::Text(value),
            wire::WireValue::Message(diff) => {
                let mut message = match old {
                    Some(Value::Message(message)) => message,
                    _ => Message::default(),
                };
                apply(&mut message, &diff);
                Value::Message(message)
            }
        }
    }

    /// Any message; a field number always has the same kind of content, as in a real one.
    fn message(depth: u32) -> BoxedStrategy<Message> {
        let text = prop_oneof![Just("a"), Just("b")]
            .prop_map(|text: &str| Value::Text(text.to_owned()))
            .boxed();
        let nested = if depth == 0 {
            text.clone()
        } else {
            message(depth - 1).prop_map(Value::Message).boxed()
        };
        let fields = (
            prop::option::of(text.clone().prop_map(Field::One)),
            prop::option::of(nested.clone().prop_map(Field::One)),
            prop::option::of(prop::collection::vec(nested.clone(), 1..4).prop_map(Field::Many)),
            prop::option::of(
                prop::collection::btree_map("[xyz]", nested, 1..3).prop_map(Field::Map),
            ),
            prop::option::of(prop::collection::vec(text, 1..3).prop_map(Field::Many)),
        );
        fields
            .prop_map(|(one, two, three, four, five)| {
                let fields = [one, two, three, four, five].into_iter().zip(1..);
                Message(
                    fields
                        .filter_map(|(field, number)| Some((number, field?)))
                        .collect(),
                )
            })
            .boxed()
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn a_difference_makes_the_new_state_of_the_old(old in message(2), new in message(2)) {
            let diff = between(&old, &new);
            prop_assert_eq!(old == new, diff.field_diffs.is_empty());
            let mut state = old;
            apply(&mut state, &diff);
            prop_assert_eq!(state, new);
        }
    }

    #[test]
    fn only_what_changed_is_told() {
        let step = |text: &str| {
            Value::Message(Message(
                [(1, Field::One(Value::Text(text.to_owned())))].into(),
            ))
        };
        let state = |steps: Vec<Value>| Message([(2, Field::Many(steps))].into());
        let diff = between(
            &state(vec![step("a"), step("b")]),
            &state(vec![step("a"), step("c"), step("d")]),
        );
        let Some(Change::Repeated(steps)) = &diff.field_diffs[0].change else {
            panic!("{diff:?}")
        };
        assert_eq!(
            (steps.new_length, steps.update_indices.as_slice()),
            (3, &[1, 2][..])
        );
    }
}
