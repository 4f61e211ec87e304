//! HTTP/2, read passively from both directions of one connection.
//!
//! Bytes enter; an exchange for each stream of the agent leaves. A stream that CONNECT has opened
//! leaves HTTP: its data are the bytes of a tunnel, or of a WebSocket (RFC 8441). Header compression
//! ties all streams together: what breaks it ends every exchange as lost, is counted once, and what
//! follows is ignored. Pushed streams are decoded and dropped.

mod block;
mod frame;
mod hpack;
mod huffman;
mod side;
mod statics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::exchange::{ExchangeEnd, Listed, OpenExchange, ResponseHead};
use super::live::{self, Live};
use super::memory::Memory;
use super::{Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};
use block::Block;
pub(super) use frame::PREFACE;
use frame::{Frame, FrameKind, FramePart, Frames};
use side::Side;

/// Reads one HTTP/2 connection.
pub(super) struct Http2 {
    open: Box<dyn OpenExchange>,
    record: Arc<dyn Record>,
    memory: Memory,
    state: State,
    agent: Side,
    provider: Side,
    /// Whether the agent has sent its last byte.
    agent_left: bool,
    /// The agent's streams that are not closed, by number.
    streams: BTreeMap<u32, Stream>,
    /// The highest stream that the agent has opened.
    last_opened: u32,
    /// The highest stream that the provider serves, as its GOAWAY says.
    last_served: u32,
}

struct Stream {
    live: Live,
    is_connect: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The framing was lost.
    Lost,
    /// No response can come any more.
    Over,
    /// Frames are read.
    Reading,
}

impl Http2 {
    /// Reads a connection from its first byte. Requests go to `open`; lost figures are counted by
    /// `record`; heads and tables are kept out of `memory`.
    #[must_use]
    pub(super) fn new(
        open: Box<dyn OpenExchange>,
        record: Arc<dyn Record>,
        memory: Memory,
    ) -> Self {
        let listed = open.listed();
        Self {
            open,
            record,
            state: State::Reading,
            agent: Side::new(Frames::of_agent(), &memory, listed),
            provider: Side::new(Frames::of_provider(), &memory, listed),
            memory,
            agent_left: false,
            streams: BTreeMap::new(),
            last_opened: 0,
            last_served: u32::MAX,
        }
    }

    fn read(
        &mut self,
        from: Direction,
        mut input: &[u8],
        at: Instant,
    ) -> Result<(), ObserverFailure> {
        while let Some(part) = self.side(from).frames.next(&mut input, at)? {
            match part {
                FramePart::Start(frame) => self.start(from, frame)?,
                FramePart::Content(frame, piece) => self.content(from, frame, piece, at)?,
                FramePart::End(frame) => self.complete(from, frame, at)?,
            }
        }
        Ok(())
    }

    fn side(&mut self, from: Direction) -> &mut Side {
        match from {
            Direction::ToProvider => &mut self.agent,
            Direction::ToAgent => &mut self.provider,
        }
    }

    fn start(&mut self, from: Direction, frame: Frame) -> Result<(), ObserverFailure> {
        let share = self.memory.share();
        self.side(from).start(frame, share)
    }

    fn content(
        &mut self,
        from: Direction,
        frame: Frame,
        piece: &[u8],
        at: Instant,
    ) -> Result<(), ObserverFailure> {
        match frame.kind {
            FrameKind::Data => self.data(from, frame.stream, piece, at),
            FrameKind::Headers | FrameKind::PushPromise | FrameKind::Continuation => {
                self.side(from).fragment(piece)
            }
            FrameKind::Settings => {
                self.settings(from, piece);
                Ok(())
            }
            FrameKind::GoAway | FrameKind::Other | FrameKind::ResetStream => Ok(()),
        }
    }

    fn complete(
        &mut self,
        from: Direction,
        frame: Frame,
        at: Instant,
    ) -> Result<(), ObserverFailure> {
        match frame.kind {
            FrameKind::Data => {
                self.data(from, frame.stream, &[], at)?;
                self.end_message(from, frame, at);
                Ok(())
            }
            FrameKind::Headers | FrameKind::PushPromise | FrameKind::Continuation
                if frame.ends_headers() =>
            {
                self.headers(from, at)
            }
            FrameKind::ResetStream => self.reset(from, frame.stream, at),
            FrameKind::GoAway if from == Direction::ToAgent => {
                self.go_away(frame.last_stream, at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn data(
        &mut self,
        from: Direction,
        id: u32,
        piece: &[u8],
        at: Instant,
    ) -> Result<(), ObserverFailure> {
        let Some(Stream { live, .. }) = self.stream(id)? else {
            return Ok(());
        };
        let may_come = match from {
            Direction::ToProvider => !live.request_done,
            Direction::ToAgent => live.responding && !live.response_done,
        };
        match (may_come, from) {
            (false, _) => return Err(ObserverFailure::Http2Malformed),
            _ if piece.is_empty() => {}
            (true, Direction::ToProvider) => live.request_body(piece, at),
            (true, Direction::ToAgent) => live.response_body(piece, at),
        }
        Ok(())
    }

    /// The agent's stream, or None when it is closed, was skipped, or is a pushed one. A stream
    /// that the agent has never opened means that the two directions are out of step.
    fn stream(&mut self, id: u32) -> Result<Option<&mut Stream>, ObserverFailure> {
        if is_agents(id) && id > self.last_opened {
            return Err(ObserverFailure::Http2Malformed);
        }
        Ok(self.streams.get_mut(&id))
    }

    /// Takes the table sizes out of SETTINGS: what one side announces binds the encoder of the
    /// other.
    fn settings(&mut self, from: Direction, piece: &[u8]) {
        let (announcing, encoding) = match from {
            Direction::ToProvider => (&mut self.agent, &mut self.provider),
            Direction::ToAgent => (&mut self.provider, &mut self.agent),
        };
        for byte in piece {
            if let Some((SETTINGS_HEADER_TABLE_SIZE, size)) = announcing.setting(*byte) {
                encoding.hpack.allow(size);
            }
        }
    }

    /// A header block is complete.
    fn headers(&mut self, from: Direction, at: Instant) -> Result<(), ObserverFailure> {
        let Some((first, block)) = self.side(from).take_block()? else {
            return Ok(());
        };
        match from {
            _ if first.kind == FrameKind::PushPromise => return Ok(()),
            Direction::ToProvider if !is_agents(first.stream) => {
                return Err(ObserverFailure::Http2Malformed);
            }
            Direction::ToProvider if first.stream > self.last_opened => {
                self.request(block, first, at)?
            }
            Direction::ToProvider => self.data(from, first.stream, &[], at)?,
            Direction::ToAgent => self.response(block, first, at)?,
        }
        self.end_message(from, first, at);
        Ok(())
    }

    fn request(&mut self, block: Block, first: Frame, at: Instant) -> Result<(), ObserverFailure> {
        let (head, is_connect) = block.into_request(self.open.listed())?;
        self.last_opened = first.stream;
        if self.streams.len() == MAX_STREAMS {
            self.record
                .record(Fact::ObserverFailed(ObserverFailure::Limit));
            return Ok(());
        }
        let live = Live::open(&mut *self.open, &head, first.begun);
        if first.stream > self.last_served {
            live.close(ExchangeEnd::ProviderReset, at);
        } else {
            self.streams
                .insert(first.stream, Stream { live, is_connect });
        }
        Ok(())
    }

    fn response(&mut self, block: Block, first: Frame, at: Instant) -> Result<(), ObserverFailure> {
        let Some(Stream { live, is_connect }) = self.stream(first.stream)? else {
            return Ok(());
        };
        if live.response_done {
            return Err(ObserverFailure::Http2Malformed);
        }
        if live.responding {
            return Ok(());
        }
        let (status, fields) = block.into_response()?;
        match status {
            100..=199 if first.ends_stream() => return Err(ObserverFailure::Http2Malformed),
            100..=199 => return Ok(()),
            _ => {}
        }
        let head = ResponseHead { status, fields };
        live.response_head(&head, at);
        if *is_connect && status < 300 {
            live.upgrade(&head, at);
        }
        Ok(())
    }

    /// Takes note of END_STREAM.
    fn end_message(&mut self, from: Direction, frame: Frame, at: Instant) {
        let Some(Stream { live, .. }) = self
            .streams
            .get_mut(&frame.stream)
            .filter(|_| frame.ends_stream())
        else {
            return;
        };
        match from {
            Direction::ToProvider => live.request_done = true,
            Direction::ToAgent => live.response_done = true,
        }
        if live.is_done() {
            if self.agent_left {
                live.finish(ExchangeEnd::AgentLeft, at);
            }
            // In a session, the side that ended its direction last only followed the other one.
            let otherwise = match from {
                Direction::ToProvider => ExchangeEnd::Truncated,
                Direction::ToAgent => ExchangeEnd::AgentGone,
            };
            self.close(frame.stream, otherwise, at);
        }
    }

    /// RST_STREAM. A provider that has answered may reset the rest of the request (section 8.1).
    fn reset(&mut self, from: Direction, id: u32, at: Instant) -> Result<(), ObserverFailure> {
        self.stream(id)?;
        let end = match from {
            Direction::ToProvider => ExchangeEnd::AgentGone,
            Direction::ToAgent => ExchangeEnd::ProviderReset,
        };
        self.close(id, end, at);
        Ok(())
    }

    /// GOAWAY: streams above the last one were not and will not be served (section 6.8).
    fn go_away(&mut self, last_served: u32, at: Instant) {
        self.last_served = self.last_served.min(last_served);
        // Taking a map apart costs as much as it holds, even when nothing is beyond the place.
        if self
            .streams
            .last_key_value()
            .is_none_or(|(last, _)| *last <= self.last_served)
        {
            return;
        }
        for (_, stream) in self.streams.split_off(&self.last_served.saturating_add(1)) {
            stream.live.close(ExchangeEnd::ProviderReset, at);
        }
    }

    fn close(&mut self, id: u32, otherwise: ExchangeEnd, at: Instant) {
        if let Some(stream) = self.streams.remove(&id) {
            stream.live.close(otherwise, at);
        }
    }

    /// Stops reading for good and gives the buffers back.
    fn leave(&mut self, state: State, end: ExchangeEnd, at: Instant) {
        self.state = state;
        self.agent = Side::new(Frames::of_agent(), &self.memory, Listed::default());
        self.provider = Side::new(Frames::of_provider(), &self.memory, Listed::default());
        for (_, stream) in std::mem::take(&mut self.streams) {
            stream.live.close(end, at);
        }
    }
}

impl Observer for Http2 {
    fn bytes(&mut self, direction: Direction, bytes: &[u8], at: Instant) {
        if self.state != State::Reading {
            return;
        }
        if let Err(failure) = self.read(direction, bytes, at) {
            self.leave(State::Lost, ExchangeEnd::Lost, at);
            self.record.record(Fact::ObserverFailed(failure));
        }
    }

    fn half_closed(&mut self, direction: Direction, at: Instant) {
        match direction {
            Direction::ToProvider => self.agent_left = true,
            Direction::ToAgent if self.state == State::Reading => {
                self.leave(State::Over, live::cut_off(End::Closed, self.agent_left), at);
            }
            Direction::ToAgent => {}
        }
    }

    /// False after the framing was lost: what is still in progress there is unknown.
    fn is_between_exchanges(&self) -> bool {
        match self.state {
            State::Lost => false,
            State::Over => true,
            State::Reading => {
                let mut streams = self.streams.values();
                streams.all(|stream| stream.live.is_idle_session()) && !self.agent.is_in_block()
            }
        }
    }

    fn end(&mut self, end: End, at: Instant) {
        if self.state == State::Reading {
            self.leave(State::Over, live::cut_off(end, self.agent_left), at);
        }
    }
}

/// Whether the stream is one that an agent opens (section 5.1.1).
fn is_agents(id: u32) -> bool {
    id % 2 == 1
}

/// Providers allow 100 to 250 streams at a time; those beyond this limit are skipped and counted.
/// Each costs about 1.5 KB, and all of them end at once with their connection.
const MAX_STREAMS: usize = 512;
const SETTINGS_HEADER_TABLE_SIZE: u16 = 0x1;

#[cfg(test)]
mod tests;
