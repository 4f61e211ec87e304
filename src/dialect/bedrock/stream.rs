//! The body of an answer that is an event stream of AWS: content coding off, then messages, then the
//! JSON documents that are their payloads, or stand inside of them.

use std::time::SystemTime;

use super::refusal::of_exception;
use super::wrapped::Wrapped;
use crate::dialect::answer::{AnswerHead, Fed, ReadAnswer, ReadBody, Refusal, Said};
use crate::observe::coding::{CodingError, DecodeLimit, Decoder};
use crate::observe::eventstream::{EventStreamMessages, EventStreamReader, Headers, Malformed};
use crate::observe::exchange::ExchangeEnd;
use crate::observe::json::{PathReader, Status};
use crate::record::ObserverFailure;

/// What the payload of a message is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payload {
    /// A document.
    Document,
    /// An object in which a document stands in Base64.
    Wrapped(Wrapped),
}

impl Payload {
    /// The second of them, before its first byte.
    pub(super) fn wrapped() -> Self {
        Self::Wrapped(Wrapped::default())
    }
}

/// A reader for a body of messages, which hands their documents to the answer.
pub(super) fn event_stream_body<A: ReadAnswer + 'static>(
    of: AnswerHead<'_>,
    payload: Payload,
    mut answer: A,
) -> Box<dyn ReadBody> {
    answer.head(of.head);
    Box::new(EventStreamBody {
        decoder: Decoder::new(&of.head.fields.content_encoding, of.memory),
        reader: EventStreamReader::default(),
        messages: Messages {
            document: PathReader::new(answer.paths()),
            answer,
            payload,
            current: Message::Event(None),
            is_broken: false,
            contents: 0,
            pending: 0,
            error: None,
            malformed: false,
        },
        failure: None,
    })
}

/// Reads one response's body.
struct EventStreamBody<A: ReadAnswer> {
    decoder: Result<Decoder, CodingError>,
    reader: EventStreamReader,
    messages: Messages<A>,
    failure: Option<ObserverFailure>,
}

impl<A: ReadAnswer> EventStreamBody<A> {
    fn is_decoded(&self) -> bool {
        self.decoder.as_ref().is_ok_and(Decoder::is_complete)
    }
}

impl<A: ReadAnswer> ReadBody for EventStreamBody<A> {
    fn feed(&mut self, bytes: &[u8], limit: &mut DecodeLimit) -> Fed {
        let Self {
            decoder,
            reader,
            messages,
            failure,
        } = self;
        let mut read = Ok(());
        let fed = decoder
            .as_mut()
            .map_err(|error| *error)
            .and_then(|decoder| {
                decoder.feed_some(bytes, limit, &mut |plain| {
                    read = reader.feed(plain, messages)
                })
            });
        if let Err(error) = fed {
            failure.get_or_insert(error.into());
        }
        if let Err(Malformed) = read {
            failure.get_or_insert(Malformed.into());
            messages.drop_document();
            if let Ok(decoder) = decoder {
                decoder.ignore_rest();
            }
        }
        Fed {
            read: fed.unwrap_or(bytes.len()),
            contents: std::mem::take(&mut messages.contents),
        }
    }

    /// A message counts only when it is whole, so the end of the body completes nothing.
    fn finish(&mut self, end: ExchangeEnd) -> usize {
        self.messages.drop_document();
        if end == ExchangeEnd::Complete {
            if !self.is_decoded() {
                self.failure.get_or_insert(ObserverFailure::DecodeError);
            } else if !self.reader.is_between_messages() {
                self.failure.get_or_insert(Malformed.into());
            }
        }
        0
    }

    fn failure(&self) -> Option<ObserverFailure> {
        let malformed = self.messages.malformed;
        self.failure
            .or(malformed.then_some(ObserverFailure::MalformedJson))
    }

    fn is_stream(&self) -> bool {
        true
    }

    /// The message that ends an answer has come, or nothing contradicts that it is over.
    fn is_whole(&self, end: ExchangeEnd) -> bool {
        let complete =
            matches!(end, ExchangeEnd::AgentLeft | ExchangeEnd::Complete) && self.is_decoded();
        let answer = &self.messages.answer;
        answer.has_last_word() || complete && answer.is_over()
    }

    fn said(&self, now: SystemTime) -> Said {
        let said = self.messages.answer.said(now);
        Said {
            error: self.messages.error.or(said.error),
            ..said
        }
    }
}

/// Reads messages into the answer.
struct Messages<A: ReadAnswer> {
    document: PathReader<A::Field>,
    answer: A,
    payload: Payload,
    current: Message,
    /// The payload of the current message is not what it should be.
    is_broken: bool,
    /// Messages that bear content, completed and not yet reported.
    contents: usize,
    /// The same of the current message.
    pending: usize,
    /// The first error that came as a message.
    error: Option<Refusal>,
    /// A payload was no JSON.
    malformed: bool,
}

/// What a message is.
enum Message {
    /// An event of this name.
    Event(Option<String>),
    /// Instead of what would follow. Its payload is words about it, which are not read.
    Error(Refusal),
}

impl<A: ReadAnswer> Messages<A> {
    /// The bytes of a document.
    fn read(&mut self, fragment: &[u8]) {
        let Self {
            document,
            answer,
            payload,
            is_broken,
            pending,
            ..
        } = self;
        let mut read = |plain: &[u8]| {
            document.feed(plain, &mut |field, value| {
                *pending += usize::from(answer.value(field, &value));
            });
        };
        match payload {
            Payload::Document => read(fragment),
            Payload::Wrapped(wrapped) => *is_broken |= wrapped.feed(fragment, &mut read).is_err(),
        }
    }

    /// The document of the current message is at its end.
    fn end_document(&mut self, event: Option<&str>) {
        let is_unwrapped = match self.payload {
            Payload::Document => true,
            Payload::Wrapped(wrapped) => wrapped.finish().is_ok(),
        };
        let is_whole = !self.is_broken && is_unwrapped;
        if is_whole && self.document.status() == Status::Complete {
            self.contents += self.pending + usize::from(self.answer.end_document(event));
        } else {
            // An event may have no document at all.
            self.malformed |= !is_whole || self.document.has_begun();
        }
        self.drop_document();
    }

    /// What the current message has said does not count any more, and the next one may begin.
    fn drop_document(&mut self) {
        self.answer.drop_document();
        self.pending = 0;
        self.is_broken = false;
        if self.document.has_begun() {
            self.document.reset();
        }
        if let Payload::Wrapped(wrapped) = &mut self.payload {
            *wrapped = Wrapped::default();
        }
    }
}

impl<A: ReadAnswer> EventStreamMessages for Messages<A> {
    fn begin(&mut self, headers: &Headers) {
        self.current = match headers.message_type() {
            Some("exception") => {
                Message::Error(of_exception(headers.exception_type().unwrap_or_default()))
            }
            Some("error") => Message::Error(Refusal::default()),
            _ => Message::Event(headers.event_type().map(str::to_owned)),
        };
    }

    fn payload(&mut self, fragment: &[u8]) {
        if let (Message::Event(_), false) = (&self.current, self.is_broken) {
            self.read(fragment);
        }
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.current, Message::Event(None)) {
            Message::Event(name) => self.end_document(name.as_deref()),
            Message::Error(refusal) => self.error = self.error.or(Some(refusal)),
        }
    }
}
