//! Reads the body of a response: decodes it, finds out whether it is JSON or server-sent events, and
//! hands its documents to the dialect.
//!
//! Google labels bare JSON errors `text/event-stream`, sends a stream without `alt=sse` as one JSON
//! array, and ends a stream that cannot go on with a JSON error that is no event. Gateways label
//! streams of events as anything. So the bytes decide: what begins with an object or an array is
//! JSON, one document or several; any other text is a stream of events once it has held one, or
//! from its first byte where the label says so.

mod frames;

use std::time::SystemTime;

use memchr::memchr2;

use frames::Frames;

use super::answer::{AnswerHead, Fed, ReadAnswer, ReadBody, Said};
use super::verdict::is_success;
use crate::observe::coding::{CodingError, DecodeLimit, Decoder};
use crate::observe::exchange::ExchangeEnd;
use crate::observe::json::Status;
use crate::observe::sse::SseScanner;
use crate::record::ObserverFailure;

/// A reader for a body of JSON in any form, which hands its documents to the answer.
pub(super) fn json_body<A: ReadAnswer + 'static>(
    of: AnswerHead<'_>,
    answer: A,
) -> Box<dyn ReadBody> {
    Box::new(AnswerBody::new(of, answer))
}

/// Reads one response's body.
struct AnswerBody<A: ReadAnswer> {
    decoder: Result<Decoder, CodingError>,
    form: Form,
    /// The head says that the body is a stream of events.
    is_labelled_events: bool,
    /// The status says that the body is an answer: only then may a text turn out to be events.
    is_answer: bool,
    scanner: SseScanner,
    frames: Frames<A>,
    failure: Option<ObserverFailure>,
}

/// What the body turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// JSON documents, mostly one.
    Documents,
    /// Server-sent events.
    Events,
    /// Any other text.
    Text {
        /// It becomes a stream of events with the first one.
        may_be_events: bool,
    },
    /// Nothing but white space so far.
    Unknown,
}

impl<A: ReadAnswer> AnswerBody<A> {
    fn new(of: AnswerHead<'_>, mut answer: A) -> Self {
        answer.head(of.head);
        let fields = &of.head.fields;
        Self {
            decoder: Decoder::new(&fields.content_encoding, of.memory),
            form: Form::Unknown,
            is_labelled_events: fields
                .content_type
                .as_deref()
                .map_or(of.expects_events, |kind| kind == "text/event-stream"),
            is_answer: is_success(of.head.status),
            scanner: SseScanner::default(),
            frames: Frames::new(answer),
            failure: None,
        }
    }

    fn is_decoded(&self) -> bool {
        self.decoder.as_ref().is_ok_and(Decoder::is_complete)
    }
}

impl<A: ReadAnswer> ReadBody for AnswerBody<A> {
    fn feed(&mut self, bytes: &[u8], limit: &mut DecodeLimit) -> Fed {
        let Self {
            decoder,
            form,
            is_labelled_events,
            is_answer,
            scanner,
            frames,
            ..
        } = self;
        let text = if *is_labelled_events {
            Form::Events
        } else {
            Form::Text {
                may_be_events: *is_answer,
            }
        };
        let mut read = |plain: &[u8]| form.read(plain, text, scanner, frames);
        let fed = decoder
            .as_mut()
            .map_err(|error| *error)
            .and_then(|decoder| decoder.feed_some(bytes, limit, &mut read));
        if let Err(error) = fed {
            self.failure.get_or_insert(error.into());
        }
        // Behind an event that is no JSON others may follow; behind anything else that is none
        // there is nothing to read.
        let is_lost = match self.form {
            Form::Documents => self.frames.malformed,
            Form::Text { may_be_events } => !may_be_events,
            Form::Events | Form::Unknown => false,
        };
        if let (true, Ok(decoder)) = (is_lost, &mut self.decoder) {
            decoder.ignore_rest();
        }
        Fed {
            read: fed.unwrap_or(bytes.len()),
            contents: self.frames.take_contents(),
        }
    }

    /// No more bytes follow; of a message that ended in order nothing may be missing, unless the
    /// agent had left before. Returns how many content-bearing frames this completed.
    fn finish(&mut self, end: ExchangeEnd) -> usize {
        let complete = end == ExchangeEnd::Complete;
        match self.form {
            // An agent never sees an event that no blank line ends, but the provider has spent what
            // it says.
            Form::Events if self.frames.reader.status() == Status::Complete => {
                self.frames.end_document(None)
            }
            Form::Events if self.frames.in_bare => self.frames.end_bare(),
            Form::Documents if complete && self.frames.is_mid_document() => {
                self.frames.malformed = true
            }
            _ => {}
        }
        if complete && !self.is_decoded() {
            self.failure.get_or_insert(ObserverFailure::DecodeError);
        }
        self.frames.take_contents()
    }

    /// Why part of the body could not be read, if so. Only an answer has to be JSON: the error page
    /// of a gateway may be any text.
    fn failure(&self) -> Option<ObserverFailure> {
        let is_foreign = self.is_answer && matches!(self.form, Form::Text { .. });
        let malformed = self.frames.malformed || is_foreign;
        self.failure
            .or(malformed.then_some(ObserverFailure::MalformedJson))
    }

    fn is_stream(&self) -> bool {
        match self.form {
            Form::Events => true,
            Form::Documents => self.frames.in_array || self.frames.has_several_documents(),
            Form::Text { .. } | Form::Unknown => false,
        }
    }

    /// Whether all of the answer has been seen: it has said that it is over, and nothing of it can
    /// be missing.
    ///
    /// A reason to stop is not enough, because providers write one into every frame, or into the
    /// first. Of events and of several documents only the end of the message says that nothing
    /// follows, be it an error; and a stream that ends in order without any reason to stop was cut
    /// off on the provider's side. One object that is whole is all there is when it holds a reason
    /// to stop, or nothing follows.
    fn is_whole(&self, end: ExchangeEnd) -> bool {
        let complete =
            matches!(end, ExchangeEnd::AgentLeft | ExchangeEnd::Complete) && self.is_decoded();
        let Frames {
            documents,
            in_array,
            answer,
            ..
        } = &self.frames;
        match self.form {
            _ if answer.has_last_word() => true,
            Form::Events => complete && answer.is_over(),
            Form::Documents if self.frames.is_mid_document() || *documents == 0 => false,
            Form::Documents if *documents > 1 || *in_array => complete && answer.is_over(),
            Form::Documents => complete || answer.is_over(),
            Form::Text { .. } | Form::Unknown => false,
        }
    }

    fn said(&self, now: SystemTime) -> Said {
        self.frames.answer.said(now)
    }
}

impl Form {
    /// Reads decoded bytes. Those before the first one that is no white space leave the form
    /// unknown; what is no JSON has the form `text`.
    fn read<A: ReadAnswer>(
        &mut self,
        mut plain: &[u8],
        text: Self,
        scanner: &mut SseScanner,
        frames: &mut Frames<A>,
    ) {
        if *self == Self::Unknown {
            let blank = plain
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace() || MARK.contains(byte))
                .count();
            let (blank, rest) = plain.split_at(blank);
            scanner.feed(blank, frames);
            plain = rest;
            *self = match rest.first() {
                None => Self::Unknown,
                Some(b'{' | b'[') => Self::Documents,
                Some(_) => text,
            };
        }
        while !plain.is_empty() {
            plain = match self {
                Self::Documents => frames.read_documents(plain),
                Self::Events if frames.in_bare => frames.read_bare(plain),
                Self::Events => {
                    let rest = scanner.feed_to_document(plain, frames);
                    frames.in_bare = !rest.is_empty();
                    rest
                }
                Self::Text {
                    may_be_events: true,
                } => {
                    let line = memchr2(b'\r', b'\n', plain).map_or(plain.len(), |end| end + 1);
                    let (line, rest) = plain.split_at(line);
                    scanner.feed(line, frames);
                    if frames.has_data {
                        *self = Self::Events;
                    }
                    rest
                }
                Self::Text {
                    may_be_events: false,
                }
                | Self::Unknown => return,
            };
        }
    }
}

/// U+FEFF in UTF-8, which may precede any text.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
