//! `StreamCascadeReactiveUpdates`: differences of the state as a tree, the first one to nothing. It
//! ends after each run.

use bytes::Bytes;
use prost::Message as _;

use super::diff;
use super::envelope;
use super::fault::Fault;
use super::stream::StreamKind;
use super::tree::{self, Message};
use super::wire::{StreamRequest, StreamResponse};
use crate::demo::agent::OfferedStreams;
use crate::demo::agent::cascade::Cascade;

/// One stream.
#[derive(Default)]
pub(super) struct Reactive {
    last: Option<Message>,
    version: u64,
    /// Whether a run was seen, and whether it is over.
    run: (bool, bool),
}

impl Reactive {
    /// What a request asks for, in an envelope.
    pub(super) fn asked(body: &Bytes) -> Option<(String, Self)> {
        let request = StreamRequest::decode(envelope::open(body)?.as_slice()).ok()?;
        (request.protocol_version == PROTOCOL_VERSION).then(|| (request.id, Self::default()))
    }
}

impl StreamKind for Reactive {
    const STAYS: bool = false;

    fn off(offered_streams: OfferedStreams) -> Option<Fault> {
        (!offered_streams.reactive).then_some(Fault::DISABLED)
    }

    fn message(&mut self, cascade: &Cascade) -> Option<Vec<u8>> {
        let idle = cascade.is_fully_idle();
        self.run = (self.run.0 || !idle, idle);
        let state = tree::state(cascade);
        if self.last.as_ref() == Some(&state) {
            return None;
        }
        let diff = diff::between(&self.last.take().unwrap_or_default(), &state);
        self.last = Some(state);
        self.version += 1;
        Some(
            StreamResponse {
                version: self.version,
                diff: Some(diff),
            }
            .encode_to_vec(),
        )
    }

    fn is_over(&self) -> bool {
        self.run == (true, true)
    }
}

const PROTOCOL_VERSION: u32 = 1;
