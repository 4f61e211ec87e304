//! The body of a response in, its frames out: content coding off, then server-sent events or JSON, by what it really is.
//!
//! Google labels bare JSON errors `text/event-stream` and sends a stream without `alt=sse` as one JSON array, so the first
//! byte that is no white space decides and the label only breaks ties.

use super::gemini::answer::{Answer, Field, PATHS};
use crate::observe::coding::{CodingError, Decoder};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{PathReader, Status};
use crate::observe::memory::Memory;
use crate::observe::sse::{SseEvents, SseScanner};
use crate::record::ObserverFailure;

/// Reads one response's body.
pub(super) struct AnswerBody {
    decoder: Result<Decoder, CodingError>,
    form: Form,
    /// Whether a body that is no JSON can be a stream of events.
    may_be_events: bool,
    scanner: SseScanner,
    frames: Frames,
    failure: Option<ObserverFailure>,
}

/// What the body turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Events,
    /// Neither JSON nor events.
    Foreign,
    JsonArray,
    JsonObject,
    /// Nothing but white space so far.
    Unknown,
}

impl AnswerBody {
    /// A reader for the body that follows the head. `alt_sse`: the request asked for events. Windows come out of `memory`.
    pub(super) fn new(head: &ResponseHead, alt_sse: bool, memory: &Memory) -> Self {
        Self {
            decoder: Decoder::new(&head.fields.content_encoding, memory),
            form: Form::Unknown,
            may_be_events: head.fields.content_type.as_deref().map_or(alt_sse, |kind| kind == "text/event-stream"),
            scanner: SseScanner::default(),
            frames: Frames::new(),
            failure: None,
        }
    }

    /// Reads the next bytes. Returns how many content-bearing frames they completed.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        let Self { decoder, form, may_be_events, scanner, frames, failure } = self;
        let mut read = |plain: &[u8]| form.read(plain, *may_be_events, scanner, frames);
        let fed = decoder.as_mut().map_err(|error| *error).and_then(|decoder| decoder.feed(bytes, &mut read));
        if let Err(error) = fed {
            failure.get_or_insert(error.into());
        }
        // Behind an event that is no JSON others may follow; behind anything else that is none there is nothing to read.
        let is_lost = self.form == Form::Foreign || (self.form != Form::Events && self.frames.malformed);
        if let (true, Ok(decoder)) = (is_lost, &mut self.decoder) {
            decoder.ignore_rest();
        }
        self.frames.take_contents()
    }

    /// No more bytes follow; `complete` when the message was whole, so that nothing may be missing. Returns how many
    /// content-bearing frames this completed.
    pub(super) fn finish(&mut self, complete: bool) -> usize {
        match self.form {
            // An agent never sees an event that no blank line ends, but the provider has spent what it says.
            Form::Events if self.frames.reader.status() == Status::Complete => self.frames.end_document(),
            Form::JsonArray | Form::JsonObject if complete && self.frames.reader.status() == Status::Incomplete => {
                self.frames.malformed = true;
            }
            _ => {}
        }
        let decoded = self.decoder.as_ref().is_ok_and(Decoder::is_complete);
        if complete && !decoded {
            self.failure.get_or_insert(ObserverFailure::DecodeError);
        }
        self.frames.take_contents()
    }

    /// What was lost of the body, if anything was. Only an answer has to be JSON: the error page of a gateway may be any text.
    pub(super) fn failure(&self, is_answer: bool) -> Option<ObserverFailure> {
        let malformed = self.frames.malformed || (is_answer && self.form == Form::Foreign);
        self.failure.or(malformed.then_some(ObserverFailure::MalformedJson))
    }

    /// Whether the body is a stream of frames.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.form, Form::Events | Form::JsonArray)
    }

    /// Whether the body is one JSON object, and whole.
    pub(super) fn is_whole_object(&self) -> bool {
        self.form == Form::JsonObject && self.frames.reader.status() == Status::Complete
    }

    pub(super) fn answer(&self) -> &Answer {
        &self.frames.answer
    }
}

impl Form {
    /// Reads decoded bytes; those before the first one that is no white space leave the form unknown.
    fn read(&mut self, mut plain: &[u8], may_be_events: bool, scanner: &mut SseScanner, frames: &mut Frames) {
        if *self == Self::Unknown {
            let blank = plain.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let (blank, rest) = plain.split_at(blank);
            scanner.feed(blank, frames);
            plain = rest;
            *self = match rest.first() {
                None => Self::Unknown,
                Some(b'{') => Self::JsonObject,
                Some(b'[') => Self::JsonArray,
                Some(_) if may_be_events => Self::Events,
                Some(_) => Self::Foreign,
            };
        }
        match self {
            Self::Events => scanner.feed(plain, frames),
            Self::JsonArray | Self::JsonObject => frames.read_document(plain),
            Self::Foreign | Self::Unknown => {}
        }
    }
}

/// Reads documents into the answer, whether they come in events or bare.
struct Frames {
    reader: PathReader<Field>,
    answer: Answer,
    /// Content-bearing frames completed and not yet reported.
    contents: usize,
    malformed: bool,
    /// How much of [`DONE`] the current document has been, while it has been nothing else.
    done: Option<usize>,
}

impl Frames {
    fn new() -> Self {
        Self {
            reader: PathReader::new(&PATHS),
            answer: Answer::default(),
            contents: 0,
            malformed: false,
            done: Some(0),
        }
    }

    /// Bytes of a document that is the whole body.
    fn read_document(&mut self, plain: &[u8]) {
        let before = self.reader.status();
        let status = self.read(plain);
        if status == Status::Complete && before != Status::Complete {
            self.end_frame();
        }
        self.malformed |= status == Status::Malformed;
    }

    /// The document of an event is at its end.
    fn end_document(&mut self) {
        let is_done = self.done.replace(0) == Some(DONE.len());
        if self.reader.status() == Status::Complete || self.read(b" ") == Status::Complete {
            self.end_frame();
        } else {
            self.malformed |= !is_done && self.reader.has_begun();
            self.answer.drop_frame();
        }
        self.done = Some(0);
        self.reader.reset();
    }

    fn read(&mut self, plain: &[u8]) -> Status {
        let Self { reader, answer, contents, .. } = self;
        reader.feed(plain, &mut |field, value| *contents += usize::from(answer.take(field, &value)))
    }

    fn end_frame(&mut self) {
        self.contents += usize::from(self.answer.end_frame());
    }

    fn take_contents(&mut self) -> usize {
        std::mem::take(&mut self.contents)
    }
}

impl SseEvents for Frames {
    fn data(&mut self, fragment: &[u8]) {
        self.done = self.done.and_then(|at| DONE.get(at..)?.starts_with(fragment).then_some(at + fragment.len()));
        self.read(fragment);
    }

    fn dispatch(&mut self, _: Option<&str>) {
        self.end_document();
    }
}

/// The event with which gateways end a stream. It is no JSON, and means nothing.
const DONE: &[u8] = b"[DONE]";
