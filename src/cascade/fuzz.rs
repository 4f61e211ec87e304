//! Entry points for fuzzers: a hostile agent's answers, as documents, as differences, and as the
//! frames that carry them.

use std::fmt::Debug;

use prost::Message as _;

pub use super::client::fuzz::fuzz_frames;
use super::proto::reactive_component_pb::MessageDiff;
use super::reactive::ReactiveState;
use super::read::{AgentState, Generations, Message, Reader, Steps, Summaries, UserStatus};

/// Reads the bytes as every kind of document, once in pieces of the size given by the first byte
/// and once as a whole. Panics when the results differ.
pub fn fuzz_documents(bytes: &[u8]) {
    let Some((size, document)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(*size).max(1);
    both_ways(document, size, AgentState::default);
    both_ways(document, size, || Steps::from_offset(7));
    both_ways(document, size, || Generations::from_offset(7));
    both_ways(document, size, Summaries::default);
    both_ways(document, size, UserStatus::default);
}

fn both_ways<M: Message<Content: PartialEq + Debug>>(
    document: &[u8],
    size: usize,
    new: impl Fn() -> M,
) {
    let read = |size: usize| {
        let mut reader = Reader::new(new());
        document.chunks(size).for_each(|piece| reader.feed(piece));
        reader.finish()
    };
    assert_eq!(
        read(document.len().max(1)),
        read(size),
        "in pieces of {size}"
    );
}

/// Applies the bytes as differences, each prefixed with its length in two bytes, to one state.
pub fn fuzz_differences(mut bytes: &[u8]) {
    let mut state = ReactiveState::new();
    while let [high, low, rest @ ..] = bytes {
        let (difference, after) =
            rest.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(rest.len()));
        if let Ok(difference) = MessageDiff::decode(difference) {
            let applied = state.apply(&difference);
            let update = state.update();
            assert!(
                applied.is_ok() || update.cascade.is_none(),
                "a state that is given up says nothing"
            );
        }
        bytes = after;
    }
}
