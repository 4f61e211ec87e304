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
mod streams;

use std::sync::Arc;
use std::time::Instant;

use super::coding::DecodeLimit;
use super::exchange::{ExchangeEnd, Listed, OpenExchange, ResponseHead};
use super::live::{self, Live};
use super::memory::Memory;
use super::{Direction, End, Observer};
use crate::record::{Fact, ObserverFailure, Record};
use block::Block;
pub(super) use frame::PREFACE;
use frame::{Frame, FrameKind, FramePart, Frames};
use side::Side;
use streams::{Stream, Streams, is_agents};

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
    streams: Streams,
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
            streams: Streams::default(),
        }
    }

    /// Takes off `input` what it has read.
    fn read_frames(
        &mut self,
        from: Direction,
        input: &mut &[u8],
        at: Instant,
    ) -> Result<(), ObserverFailure> {
        let mut limit = DecodeLimit::default();
        // The end of a frame is found behind its last byte: it does not wait for a byte more.
        while input.is_empty() || !limit.is_reached() {
            let before = *input;
            let Some(part) = self.side(from).frames.next(input, at)? else {
                return Ok(());
            };
            match part {
                FramePart::Start(frame) => self.start(from, frame)?,
                FramePart::Content(frame, piece) => {
                    let read = self.content(from, frame, piece, at, &mut limit)?;
                    let unread = piece.len() - read;
                    self.side(from).frames.give_back(unread);
                    *input = before
                        .get(before.len() - input.len() - unread..)
                        .unwrap_or_default();
                }
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

    /// Returns how much of the piece was read.
    fn content(
        &mut self,
        from: Direction,
        frame: Frame,
        piece: &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> Result<usize, ObserverFailure> {
        match frame.kind {
            FrameKind::Data => return self.data(from, frame.stream, piece, at, limit),
            FrameKind::Headers | FrameKind::PushPromise | FrameKind::Continuation => {
                self.side(from).fragment(piece)?
            }
            FrameKind::Settings => self.settings(from, piece),
            FrameKind::GoAway | FrameKind::Other | FrameKind::ResetStream => {}
        }
        Ok(piece.len())
    }

    fn complete(
        &mut self,
        from: Direction,
        frame: Frame,
        at: Instant,
    ) -> Result<(), ObserverFailure> {
        match frame.kind {
            FrameKind::Data => {
                self.streams.receiving(from, frame.stream)?;
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
                self.streams.go_away(frame.last_stream, at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns how much of the piece was read.
    fn data(
        &mut self,
        from: Direction,
        id: u32,
        piece: &[u8],
        at: Instant,
        limit: &mut DecodeLimit,
    ) -> Result<usize, ObserverFailure> {
        let Some(Stream { live, .. }) = self.streams.receiving(from, id)? else {
            return Ok(piece.len());
        };
        Ok(match from {
            Direction::ToProvider => live.read_request(piece, at, limit),
            Direction::ToAgent => live.read_response(piece, at, limit),
        })
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
            Direction::ToProvider if first.stream > self.streams.last_opened => {
                self.request(block, first, at)?
            }
            Direction::ToProvider => {
                self.streams.receiving(from, first.stream)?;
            }
            Direction::ToAgent => self.response(block, first, at)?,
        }
        self.end_message(from, first, at);
        Ok(())
    }

    fn request(&mut self, block: Block, first: Frame, at: Instant) -> Result<(), ObserverFailure> {
        let (head, is_connect) = block.into_request(self.open.listed())?;
        self.streams.last_opened = first.stream;
        if self.streams.is_full() {
            self.record
                .record(Fact::ObserverFailed(ObserverFailure::Limit));
            return Ok(());
        }
        let live = Live::open(&mut *self.open, &head, first.begun);
        self.streams
            .open(first.stream, Stream { live, is_connect }, at);
        Ok(())
    }

    fn response(&mut self, block: Block, first: Frame, at: Instant) -> Result<(), ObserverFailure> {
        let Some(Stream { live, is_connect }) = self.streams.get(first.stream)? else {
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
        if !frame.ends_stream() {
            return;
        }
        let Ok(Some(Stream { live, .. })) = self.streams.get(frame.stream) else {
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
            self.streams.close(frame.stream, otherwise, at);
        }
    }

    /// RST_STREAM. A provider that has answered may reset the rest of the request (section 8.1).
    fn reset(&mut self, from: Direction, id: u32, at: Instant) -> Result<(), ObserverFailure> {
        self.streams.get(id)?;
        let end = match from {
            Direction::ToProvider => ExchangeEnd::AgentGone,
            Direction::ToAgent => ExchangeEnd::ProviderReset,
        };
        self.streams.close(id, end, at);
        Ok(())
    }

    /// Stops reading for good and gives the buffers back.
    fn leave(&mut self, state: State, end: ExchangeEnd, at: Instant) {
        self.state = state;
        self.agent = Side::new(Frames::of_agent(), &self.memory, Listed::default());
        self.provider = Side::new(Frames::of_provider(), &self.memory, Listed::default());
        self.streams.close_all(end, at);
    }
}

impl Observer for Http2 {
    fn read(&mut self, direction: Direction, bytes: &[u8], at: Instant) -> usize {
        let mut rest = bytes;
        if self.state == State::Reading
            && let Err(failure) = self.read_frames(direction, &mut rest, at)
        {
            self.leave(State::Lost, ExchangeEnd::Lost, at);
            self.record.record(Fact::ObserverFailed(failure));
        }
        if self.state == State::Reading {
            bytes.len() - rest.len()
        } else {
            bytes.len()
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
            State::Reading => self.streams.are_idle() && !self.agent.is_in_block(),
        }
    }

    fn end(&mut self, end: End, at: Instant) {
        if self.state == State::Reading {
            self.leave(State::Over, live::cut_off(end, self.agent_left), at);
        }
    }
}

const SETTINGS_HEADER_TABLE_SIZE: u16 = 0x1;

#[cfg(test)]
mod tests;
