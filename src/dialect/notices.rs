//! Exchanges that call no model but tell of calls, models or quotas: their bodies in, [`Fact`]s
//! out.
//!
//! They are no calls: none is counted, none is ever in flight, and what is lost of them lowers no
//! figure. Two losses are stated: a document that is none, because then the provider has changed
//! something, and one that there was no memory for. What else is lost (a coding that cannot be
//! taken off, a body that is cut) comes again with the next exchange.

use std::sync::Arc;
use std::time::Instant;

use super::gemini::telemetry::Telemetry;
use super::quota::QuotaDocument;
use super::verdict::is_success;
use super::{Notice, Tells};
use crate::observe::coding::{CodingError, Decoder};
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead};
use crate::observe::json::Status;
use crate::observe::memory::Share;
use crate::record::{Fact, ObserverFailure, Record};

/// A notice that is under way.
pub(super) struct LiveNotice {
    record: Arc<dyn Record>,
    /// What is kept of the notice itself, out of the memory that its body takes its from.
    share: Share,
    tells: Tells,
    /// Takes the coding off the side that tells, as soon as its head has been seen and while it can
    /// be read.
    decoder: Option<Decoder>,
    /// Until what it says is stated, or cannot be.
    document: Option<Document>,
}

/// What is read of the side that tells.
enum Document {
    Ids(Telemetry),
    Quotas(QuotaDocument),
}

impl LiveNotice {
    /// A notice with its share of the memory that observers may use.
    pub(super) fn new(
        notice: Notice,
        head: &RequestHead,
        record: Arc<dyn Record>,
        share: Share,
    ) -> Self {
        let Notice { provider, tells } = notice;
        let (decoder, document) = match tells {
            Tells::Ids => (
                Decoder::new(&head.fields.content_encoding, share.memory()).ok(),
                Document::Ids(Telemetry::new()),
            ),
            Tells::Quotas => (None, Document::Quotas(QuotaDocument::new(provider))),
        };
        Self {
            record,
            share,
            tells,
            decoder,
            document: Some(document),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let (Some(decoder), Some(document)) = (&mut self.decoder, &mut self.document) else {
            return;
        };
        let mut status = Status::Incomplete;
        let fed = decoder.feed(bytes, &mut |plain| status = document.feed(plain));
        let lost = match (status, fed) {
            (Status::Complete, _) => return self.state(),
            (Status::Malformed, _) => Some(ObserverFailure::MalformedJson),
            (Status::Incomplete, Err(CodingError::Memory)) => Some(ObserverFailure::MemoryBudget),
            (Status::Incomplete, Err(_)) => None,
            (Status::Incomplete, Ok(())) => return,
        };
        (self.document, self.decoder) = (None, None);
        if let Some(failure) = lost {
            self.record.record(Fact::ObserverFailed(failure));
        }
    }

    /// States what the document says, once.
    fn state(&mut self) {
        let record = &self.record;
        self.decoder = None;
        match self.document.take() {
            Some(Document::Ids(ids)) => ids
                .finish()
                .for_each(|ids| record.record(Fact::IdsJoined(ids))),
            Some(Document::Quotas(quotas)) => {
                quotas.finish().facts().for_each(|fact| record.record(fact))
            }
            None => {}
        }
    }
}

impl Document {
    fn feed(&mut self, plain: &[u8]) -> Status {
        match self {
            Self::Ids(telemetry) => telemetry.feed(plain),
            Self::Quotas(quotas) => quotas.feed(plain),
        }
    }
}

impl Exchange for LiveNotice {
    fn request_body(&mut self, bytes: &[u8], _: Instant) {
        if self.tells == Tells::Ids {
            self.read(bytes);
        }
    }

    fn response_head(&mut self, head: &ResponseHead, _: Instant) {
        if self.tells == Tells::Quotas && is_success(head.status) {
            self.decoder = Decoder::new(&head.fields.content_encoding, self.share.memory()).ok();
        }
    }

    fn response_body(&mut self, bytes: &[u8], _: Instant) {
        if self.tells == Tells::Quotas {
            self.read(bytes);
        }
    }

    fn end(mut self: Box<Self>, _: ExchangeEnd, _: Instant) {
        self.state();
    }
}
#[cfg(test)]
mod tests;
