//! Exchanges that call no model but report calls, models or quotas: reads their bodies and records
//! [`Fact`]s.
//!
//! They are not counted as calls, and losing one affects no figure. Two losses are recorded: a body
//! that is not the expected document, because then the provider has changed something, and one that
//! there was no memory for. Anything else that is lost (a body with an unknown coding, or one that is
//! cut) comes again with the next exchange.

use std::sync::Arc;
use std::time::Instant;

use super::verdict::is_success;
use super::{Notice, Side};
use crate::observe::coding::{CodingError, DecodeLimit, Decoder};
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead};
use crate::observe::json::Status;
use crate::observe::memory::Share;
use crate::record::{Fact, ObserverFailure, Record};

/// Reads the decoded body of a notice.
pub(super) trait ReadNotice: Send {
    /// Reads the next bytes. Returns how far the document has been read.
    fn feed(&mut self, plain: &[u8]) -> Status;

    /// The facts that the document reports.
    fn finish(self: Box<Self>) -> Vec<Fact>;
}

/// A notice in progress.
pub(super) struct LiveNotice {
    record: Arc<dyn Record>,
    /// Its share of the memory budget.
    share: Share,
    side: Side,
    /// Decodes the body; `None` before its head has been seen, and once it cannot be read.
    decoder: Option<Decoder>,
    /// `None` once its facts are recorded, or cannot be.
    reader: Option<Box<dyn ReadNotice>>,
}

impl LiveNotice {
    /// A notice with its share of the memory budget.
    pub(super) fn new(
        notice: &Notice,
        head: &RequestHead,
        record: Arc<dyn Record>,
        share: Share,
    ) -> Self {
        let decoder = match notice.side {
            Side::Request => Decoder::new(&head.fields.content_encoding, share.memory()).ok(),
            Side::Response => None,
        };
        Self {
            record,
            share,
            side: notice.side,
            decoder,
            reader: Some((notice.reader)(notice.provider)),
        }
    }

    /// Reads bytes of the body, until the limit is reached. Returns how many.
    fn read(&mut self, bytes: &[u8], limit: &mut DecodeLimit) -> usize {
        let (Some(decoder), Some(reader)) = (&mut self.decoder, &mut self.reader) else {
            return bytes.len();
        };
        let mut status = Status::Incomplete;
        let fed = decoder.feed_some(bytes, limit, &mut |plain| status = reader.feed(plain));
        let lost = match (status, fed) {
            (Status::Complete, _) => {
                self.state();
                return bytes.len();
            }
            (Status::Malformed, _) => Some(ObserverFailure::MalformedJson),
            (Status::Incomplete, Err(CodingError::Memory)) => Some(ObserverFailure::MemoryBudget),
            (Status::Incomplete, Err(_)) => None,
            (Status::Incomplete, Ok(read)) => return read,
        };
        (self.reader, self.decoder) = (None, None);
        if let Some(failure) = lost {
            self.record.record(Fact::ObserverFailed(failure));
        }
        bytes.len()
    }

    /// Records the facts that the document reports, once.
    fn state(&mut self) {
        self.decoder = None;
        let facts = self.reader.take().map(ReadNotice::finish);
        facts
            .into_iter()
            .flatten()
            .for_each(|fact| self.record.record(fact));
    }
}

impl Exchange for LiveNotice {
    fn read_request(&mut self, bytes: &[u8], _: Instant, limit: &mut DecodeLimit) -> usize {
        match self.side {
            Side::Request => self.read(bytes, limit),
            Side::Response => bytes.len(),
        }
    }

    fn response_head(&mut self, head: &ResponseHead, _: Instant) {
        if self.side == Side::Response && is_success(head.status) {
            self.decoder = Decoder::new(&head.fields.content_encoding, self.share.memory()).ok();
        }
    }

    fn read_response(&mut self, bytes: &[u8], _: Instant, limit: &mut DecodeLimit) -> usize {
        match self.side {
            Side::Request => bytes.len(),
            Side::Response => self.read(bytes, limit),
        }
    }

    fn end(mut self: Box<Self>, _: ExchangeEnd, _: Instant) {
        self.state();
    }
}
#[cfg(test)]
mod tests;
