//! The agent's streams of one connection, from their first header block to their end.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::observe::Direction;
use crate::observe::exchange::ExchangeEnd;
use crate::observe::live::Live;
use crate::record::ObserverFailure;

/// The streams that are not closed.
pub(super) struct Streams {
    /// By number.
    open: BTreeMap<u32, Stream>,
    /// The highest stream that the agent has opened.
    pub(super) last_opened: u32,
    /// The highest stream that the provider serves, as its GOAWAY says.
    last_served: u32,
}

/// A stream that is observed.
pub(super) struct Stream {
    pub(super) live: Live,
    pub(super) is_connect: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            last_opened: 0,
            last_served: u32::MAX,
        }
    }
}

impl Streams {
    /// The stream, or None when it is closed, was skipped, or is a pushed one. A stream that the
    /// agent has never opened means that the two directions are out of step.
    pub(super) fn get(&mut self, id: u32) -> Result<Option<&mut Stream>, ObserverFailure> {
        if is_agents(id) && id > self.last_opened {
            return Err(ObserverFailure::Http2Malformed);
        }
        Ok(self.open.get_mut(&id))
    }

    /// As [`Streams::get`], of a stream on which data, or the end of a message, have come from
    /// there. After its end none may come.
    pub(super) fn receiving(
        &mut self,
        from: Direction,
        id: u32,
    ) -> Result<Option<&mut Stream>, ObserverFailure> {
        let stream = self.get(id)?;
        let may_come = stream
            .as_ref()
            .is_none_or(|Stream { live, .. }| match from {
                Direction::ToProvider => !live.request_done,
                Direction::ToAgent => live.responding && !live.response_done,
            });
        if may_come {
            Ok(stream)
        } else {
            Err(ObserverFailure::Http2Malformed)
        }
    }

    /// Whether as many streams are observed as can be.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() == MAX_STREAMS
    }

    /// Whether all of them are sessions in which nothing is in progress.
    pub(super) fn are_idle(&self) -> bool {
        let mut streams = self.open.values();
        streams.all(|stream| stream.live.is_idle_session())
    }

    /// The agent has opened a stream. One above the last that is served ends at once.
    pub(super) fn open(&mut self, id: u32, stream: Stream, at: Instant) {
        if id > self.last_served {
            stream.live.close(ExchangeEnd::ProviderReset, at);
        } else {
            self.open.insert(id, stream);
        }
    }

    /// GOAWAY: streams above the last one were not and will not be served (section 6.8).
    pub(super) fn go_away(&mut self, last_served: u32, at: Instant) {
        self.last_served = self.last_served.min(last_served);
        // Taking a map apart costs as much as it holds, even when nothing is beyond the place.
        if self
            .open
            .last_key_value()
            .is_none_or(|(last, _)| *last <= self.last_served)
        {
            return;
        }
        for (_, stream) in self.open.split_off(&self.last_served.saturating_add(1)) {
            stream.live.close(ExchangeEnd::ProviderReset, at);
        }
    }

    /// Ends a stream, as complete if its response is.
    pub(super) fn close(&mut self, id: u32, otherwise: ExchangeEnd, at: Instant) {
        if let Some(stream) = self.open.remove(&id) {
            stream.live.close(otherwise, at);
        }
    }

    /// Ends all of them, in the order of their numbers.
    pub(super) fn close_all(&mut self, otherwise: ExchangeEnd, at: Instant) {
        for (_, stream) in std::mem::take(&mut self.open) {
            stream.live.close(otherwise, at);
        }
    }
}

/// Whether the stream is one that an agent opens (section 5.1.1).
pub(super) fn is_agents(id: u32) -> bool {
    id % 2 == 1
}

/// Providers allow 100 to 250 streams at a time; those beyond this limit are skipped and counted.
/// Each costs about 1.5 KB, and all of them end at once with their connection.
pub(super) const MAX_STREAMS: usize = 512;
