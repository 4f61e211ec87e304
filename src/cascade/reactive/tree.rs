//! A message of any type as a tree of values by field number.

use std::collections::BTreeMap;

use super::DiffError;
use crate::cascade::proto::reactive_component_pb::singular_value::Value;
use crate::record::Id;

/// A value with its parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Node {
    /// Not set yet. An element by which its list has grown starts so, and stands for the type's
    /// default.
    #[default]
    Empty,
    List(Vec<Node>),
    /// The values of the keys that are of interest.
    Map(BTreeMap<&'static str, Node>),
    Message(BTreeMap<u32, Node>),
    Scalar(Scalar),
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Bool(bool),
    Id(Id),
    /// An empty text.
    EmptyText,
    /// A number that is not negative, or an enum's.
    Number(u64),
    /// Anything else, whose value is not kept: texts of people and models, bytes, fractions.
    Discarded,
}

static EMPTY: Node = Node::Empty;

impl Node {
    /// A field of a message; empty when it is not there.
    pub(super) fn field(&self, number: u32) -> &Self {
        match self {
            Self::Message(fields) => fields.get(&number).unwrap_or(&EMPTY),
            _ => &EMPTY,
        }
    }

    /// The value of a map's key; empty when it is not there.
    pub(super) fn key(&self, key: &str) -> &Self {
        match self {
            Self::Map(entries) => entries.get(key).unwrap_or(&EMPTY),
            _ => &EMPTY,
        }
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// Whether it is not set.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        matches!(self, Self::Scalar(Scalar::Bool(true)))
    }

    /// Whether it is a text that is not empty.
    pub(super) fn has_text(&self) -> bool {
        matches!(self, Self::Scalar(Scalar::Id(_) | Scalar::Discarded))
    }

    /// Its value as an identifier.
    pub(super) fn id(&self) -> Option<Id> {
        match self {
            Self::Scalar(Scalar::Id(id)) => Some(id.clone()),
            _ => None,
        }
    }

    /// Its value as a number.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Scalar(Scalar::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Its fields as a message; one that is not set becomes a message.
    pub(super) fn become_message(&mut self) -> Result<&mut BTreeMap<u32, Self>, DiffError> {
        if self.is_empty() {
            *self = Self::Message(BTreeMap::new());
        }
        if let Self::Message(fields) = self {
            Ok(fields)
        } else {
            Err(DiffError::Kind)
        }
    }

    /// Its elements as a list; one that is not set becomes a list.
    pub(super) fn become_list(&mut self) -> Result<&mut Vec<Self>, DiffError> {
        if self.is_empty() {
            *self = Self::List(Vec::new());
        }
        if let Self::List(elements) = self {
            Ok(elements)
        } else {
            Err(DiffError::Kind)
        }
    }

    /// Its entries as a map; one that is not set becomes a map.
    pub(super) fn become_map(&mut self) -> Result<&mut BTreeMap<&'static str, Self>, DiffError> {
        if self.is_empty() {
            *self = Self::Map(BTreeMap::new());
        }
        if let Self::Map(entries) = self {
            Ok(entries)
        } else {
            Err(DiffError::Kind)
        }
    }

    /// Sets a value without parts; an error if it has parts.
    pub(super) fn become_scalar(&mut self, scalar: Scalar) -> Result<(), DiffError> {
        if !matches!(self, Self::Empty | Self::Scalar(_)) {
            return Err(DiffError::Kind);
        }
        *self = Self::Scalar(scalar);
        Ok(())
    }

    /// How many nodes it has, itself included.
    pub(super) fn size(&self) -> usize {
        let inside: usize = match self {
            Self::Empty | Self::Scalar(_) => 0,
            Self::List(elements) => elements.iter().map(Self::size).sum(),
            Self::Map(entries) => entries.values().map(Self::size).sum(),
            Self::Message(fields) => fields.values().map(Self::size).sum(),
        };
        1 + inside
    }
}

impl Scalar {
    /// What is kept of a value. A text is kept only where identifiers stand, and only when it can
    /// be one.
    pub(super) fn of(value: &Value, identifiers: bool) -> Self {
        match value {
            Value::BoolValue(bool) => Self::Bool(*bool),
            Value::StringValue(text) if text.is_empty() => Self::EmptyText,
            Value::StringValue(text) if identifiers => {
                Id::from_wire(text).map_or(Self::Discarded, Self::Id)
            }
            Value::EnumValue(number) | Value::Fixed32Value(number) | Value::Uint32Value(number) => {
                Self::Number((*number).into())
            }
            Value::Fixed64Value(number) | Value::Uint64Value(number) => Self::Number(*number),
            Value::Int32Value(number)
            | Value::Sfixed32Value(number)
            | Value::Sint32Value(number) => Self::signed((*number).into()),
            Value::Int64Value(number)
            | Value::Sfixed64Value(number)
            | Value::Sint64Value(number) => Self::signed(*number),
            Value::BytesValue(_)
            | Value::DoubleValue(_)
            | Value::FloatValue(_)
            | Value::MessageValue(_)
            | Value::StringValue(_) => Self::Discarded,
        }
    }

    fn signed(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Discarded, Self::Number)
    }
}
