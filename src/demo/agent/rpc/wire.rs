//! The messages of `exa.reactive_component_pb`, written by hand from the published numbers.

use prost::{Message, Oneof};

/// `StreamReactiveUpdatesRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamRequest {
    #[prost(uint32, tag = "1")]
    pub(super) protocol_version: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(string, tag = "3")]
    pub(super) subscriber_id: String,
}

/// `StreamReactiveUpdatesResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamResponse {
    #[prost(uint64, tag = "1")]
    pub(super) version: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) diff: Option<MessageDiff>,
}

/// `MessageDiff`
#[derive(Clone, PartialEq, Message)]
pub(super) struct MessageDiff {
    #[prost(message, repeated, tag = "1")]
    pub(super) field_diffs: Vec<FieldDiff>,
}

/// `FieldDiff`
#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldDiff {
    #[prost(uint32, tag = "1")]
    pub(super) field_number: u32,
    #[prost(oneof = "Change", tags = "2, 3, 4, 5")]
    pub(super) change: Option<Change>,
}

/// `FieldDiff.diff`
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Change {
    #[prost(message, tag = "2")]
    Singular(SingularValue),
    #[prost(message, tag = "3")]
    Repeated(RepeatedDiff),
    #[prost(message, tag = "4")]
    Map(MapDiff),
    #[prost(bool, tag = "5")]
    Clear(bool),
}

/// `RepeatedDiff`
#[derive(Clone, PartialEq, Message)]
pub(super) struct RepeatedDiff {
    #[prost(uint32, tag = "1")]
    pub(super) new_length: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) update_values: Vec<SingularValue>,
    #[prost(uint32, repeated, tag = "3")]
    pub(super) update_indices: Vec<u32>,
}

/// `MapDiff`
#[derive(Clone, PartialEq, Message)]
pub(super) struct MapDiff {
    #[prost(message, repeated, tag = "1")]
    pub(super) map_key_diffs: Vec<MapKeyDiff>,
}

/// `MapKeyDiff`
#[derive(Clone, PartialEq, Message)]
pub(super) struct MapKeyDiff {
    #[prost(message, optional, tag = "1")]
    pub(super) map_key: Option<SingularValue>,
    #[prost(oneof = "KeyChange", tags = "2, 3")]
    pub(super) change: Option<KeyChange>,
}

/// `MapKeyDiff.diff`
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum KeyChange {
    #[prost(message, tag = "2")]
    Singular(SingularValue),
    #[prost(bool, tag = "3")]
    Clear(bool),
}

/// `SingularValue`
#[derive(Clone, PartialEq, Message)]
pub(super) struct SingularValue {
    #[prost(oneof = "WireValue", tags = "3, 4, 5, 6, 13, 14, 15, 17")]
    pub(super) value: Option<WireValue>,
}

/// `SingularValue.value`: the kinds that a conversation's state has.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum WireValue {
    #[prost(int32, tag = "3")]
    Int32(i32),
    #[prost(int64, tag = "4")]
    Int64(i64),
    #[prost(uint32, tag = "5")]
    Uint32(u32),
    #[prost(uint64, tag = "6")]
    Uint64(u64),
    #[prost(bool, tag = "13")]
    Bool(bool),
    #[prost(uint32, tag = "14")]
    Enum(u32),
    #[prost(string, tag = "15")]
    Text(String),
    #[prost(message, tag = "17")]
    Message(MessageDiff),
}
