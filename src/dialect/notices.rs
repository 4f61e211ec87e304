//! Exchanges that call no model but tell of calls, models or quotas: their bodies in, [`Fact`]s
//! out.
//!
//! They are no calls: none is counted, none is ever in flight, and what is lost of them lowers no
//! figure. Two losses are stated: a document that is none, because then the provider has changed
//! something, and one that there was no memory for. What else is lost (a coding that cannot be
//! taken off, a body that is cut) comes again with the next exchange.

use std::sync::Arc;
use std::time::Instant;

use super::verdict::is_success;
use super::{Notice, Side};
use crate::observe::coding::{CodingError, Decoder};
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead};
use crate::observe::json::Status;
use crate::observe::memory::Share;
use crate::record::{Fact, ObserverFailure, Record};

/// Reads the body that tells something, free of content coding.
pub(super) trait ReadNotice: Send {
    /// Reads the next bytes, and tells how far the document has been read.
    fn feed(&mut self, plain: &[u8]) -> Status;

    /// What the document says.
    fn finish(self: Box<Self>) -> Vec<Fact>;
}

/// A notice that is under way.
pub(super) struct LiveNotice {
    record: Arc<dyn Record>,
    /// What is kept of the notice itself, out of the memory that its body takes its from.
    share: Share,
    side: Side,
    /// Takes the coding off the side that tells, as soon as its head has been seen and while it can
    /// be read.
    decoder: Option<Decoder>,
    /// Until what it says is stated, or cannot be.
    reader: Option<Box<dyn ReadNotice>>,
}

impl LiveNotice {
    /// A notice with its share of the memory that observers may use.
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

    fn read(&mut self, bytes: &[u8]) {
        let (Some(decoder), Some(reader)) = (&mut self.decoder, &mut self.reader) else {
            return;
        };
        let mut status = Status::Incomplete;
        let fed = decoder.feed(bytes, &mut |plain| status = reader.feed(plain));
        let lost = match (status, fed) {
            (Status::Complete, _) => return self.state(),
            (Status::Malformed, _) => Some(ObserverFailure::MalformedJson),
            (Status::Incomplete, Err(CodingError::Memory)) => Some(ObserverFailure::MemoryBudget),
            (Status::Incomplete, Err(_)) => None,
            (Status::Incomplete, Ok(())) => return,
        };
        (self.reader, self.decoder) = (None, None);
        if let Some(failure) = lost {
            self.record.record(Fact::ObserverFailed(failure));
        }
    }

    /// States what the document says, once.
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
    fn request_body(&mut self, bytes: &[u8], _: Instant) {
        if self.side == Side::Request {
            self.read(bytes);
        }
    }

    fn response_head(&mut self, head: &ResponseHead, _: Instant) {
        if self.side == Side::Response && is_success(head.status) {
            self.decoder = Decoder::new(&head.fields.content_encoding, self.share.memory()).ok();
        }
    }

    fn response_body(&mut self, bytes: &[u8], _: Instant) {
        if self.side == Side::Response {
            self.read(bytes);
        }
    }

    fn end(mut self: Box<Self>, _: ExchangeEnd, _: Instant) {
        self.state();
    }
}
#[cfg(test)]
mod tests;
