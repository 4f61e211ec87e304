//! Applies a difference to a tree, skipping fields that are not of interest.
//!
//! The rules are those of the agent's own client: messages are merged, lists are resized before
//! their values are set, texts are replaced as a whole, and cleared fields are removed.

use super::DiffError;
use super::interest::Interest;
use super::tree::{Node, Scalar};
use crate::cascade::proto::reactive_component_pb::singular_value::Value;
use crate::cascade::proto::reactive_component_pb::{
    FieldDiff, MapDiff, MapKeyDiff, MessageDiff, RepeatedDiff, SingularValue, field_diff,
    map_key_diff,
};
use crate::cascade::update::MAX_ENTRIES;

/// Deepest nesting of messages: the decoder gives up at 100 levels of the difference, of which each
/// message takes three.
pub const MAX_DEPTH: usize = 34;

/// Longest list: a few bytes could ask for any length.
pub const MAX_LENGTH: usize = MAX_ENTRIES as usize;

/// Most values of one conversation, so that lists of lists cannot multiply. The longest one seen
/// would have some 70 000.
pub const MAX_NODES: usize = 1 << 19;

/// Applies a difference to a message. `room` is how many nodes may still be added.
pub(super) fn message(
    root: &mut Node,
    diff: &MessageDiff,
    interest: &Interest,
    room: &mut usize,
) -> Result<(), DiffError> {
    Application { room, depth: 0 }.message(root, diff, interest)
}

/// The state of applying one difference.
struct Application<'a> {
    room: &'a mut usize,
    /// How many messages the current one is nested in.
    depth: usize,
}

impl Application<'_> {
    fn message(
        &mut self,
        node: &mut Node,
        diff: &MessageDiff,
        interest: &Interest,
    ) -> Result<(), DiffError> {
        if self.depth == MAX_DEPTH {
            return Err(DiffError::TooDeep);
        }
        node.become_message()?;
        self.depth += 1;
        for FieldDiff { field_number, diff } in &diff.field_diffs {
            if let Some(interest) = interest.field(*field_number) {
                self.field(
                    node,
                    *field_number,
                    diff.as_ref().ok_or(DiffError::Empty)?,
                    interest,
                )?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(
        &mut self,
        message: &mut Node,
        number: u32,
        diff: &field_diff::Diff,
        interest: &Interest,
    ) -> Result<(), DiffError> {
        let fields = message.become_message()?;
        if let field_diff::Diff::Clear(clear) = diff {
            let gone = if *clear { fields.remove(&number) } else { None };
            self.release(gone);
            return Ok(());
        }
        if !fields.contains_key(&number) {
            self.reserve(1)?;
        }
        let node = fields.entry(number).or_default();
        match diff {
            field_diff::Diff::Clear(_) => Ok(()),
            field_diff::Diff::UpdateMap(diff) => self.map(node, diff, interest),
            field_diff::Diff::UpdateRepeated(diff) => self.list(node, diff, interest),
            field_diff::Diff::UpdateSingular(value) => self.value(node, value, interest),
        }
    }

    fn value(
        &mut self,
        node: &mut Node,
        value: &SingularValue,
        interest: &Interest,
    ) -> Result<(), DiffError> {
        match value.value.as_ref().ok_or(DiffError::Empty)? {
            Value::MessageValue(diff) => self.message(node, diff, interest),
            value => node.become_scalar(Scalar::of(value, interest.identifiers)),
        }
    }

    fn list(
        &mut self,
        node: &mut Node,
        diff: &RepeatedDiff,
        interest: &Interest,
    ) -> Result<(), DiffError> {
        let length = usize::try_from(diff.new_length).unwrap_or(usize::MAX);
        if length > MAX_LENGTH {
            return Err(DiffError::TooLarge);
        }
        if diff.update_values.len() != diff.update_indices.len() {
            return Err(DiffError::Lengths);
        }
        let elements = node.become_list()?;
        self.release(elements.drain(length.min(elements.len())..));
        self.reserve(length - elements.len())?;
        elements.resize_with(length, Node::default);
        for (index, value) in diff.update_indices.iter().zip(&diff.update_values) {
            let element = usize::try_from(*index)
                .ok()
                .and_then(|index| elements.get_mut(index));
            self.value(element.ok_or(DiffError::Index)?, value, interest)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        node: &mut Node,
        diff: &MapDiff,
        interest: &Interest,
    ) -> Result<(), DiffError> {
        let entries = node.become_map()?;
        for MapKeyDiff { map_key, diff } in &diff.map_key_diffs {
            let Some(Value::StringValue(key)) = map_key.as_ref().and_then(|key| key.value.as_ref())
            else {
                continue;
            };
            let Some((key, interest)) = interest.key(key) else {
                continue;
            };
            match diff.as_ref().ok_or(DiffError::Empty)? {
                map_key_diff::Diff::Clear(clear) => {
                    let gone = if *clear { entries.remove(key) } else { None };
                    self.release(gone);
                }
                map_key_diff::Diff::UpdateSingular(value) => {
                    if !entries.contains_key(key) {
                        self.reserve(1)?;
                    }
                    self.value(entries.entry(key).or_default(), value, interest)?;
                }
            }
        }
        Ok(())
    }

    fn reserve(&mut self, nodes: usize) -> Result<(), DiffError> {
        *self.room = self.room.checked_sub(nodes).ok_or(DiffError::TooLarge)?;
        Ok(())
    }

    fn release(&mut self, nodes: impl IntoIterator<Item = Node>) {
        *self.room += nodes.into_iter().map(|node| node.size()).sum::<usize>();
    }
}
