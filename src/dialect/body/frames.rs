//! The documents of a body: each is read into the answer, whether it is the data of an event or
//! stands by itself.

use crate::dialect::answer::ReadAnswer;
use crate::observe::json::{PathReader, Status};
use crate::observe::sse::SseEvents;

/// Reads documents into the answer, whether they come in events or bare.
pub(super) struct Frames<A: ReadAnswer> {
    pub(super) reader: PathReader<A::Field>,
    pub(super) answer: A,
    /// Content-bearing frames completed and not yet reported.
    contents: usize,
    pub(super) malformed: bool,
    /// How much of [`DONE`] the current document has been, while it has been nothing else.
    done: Option<usize>,
    /// An event with data has begun.
    pub(super) has_data: bool,
    /// Documents that were read to their end and are no events.
    pub(super) documents: usize,
    /// The first of those is an array.
    pub(super) in_array: bool,
    /// A document that is no event is being read between events.
    pub(super) in_bare: bool,
}

impl<A: ReadAnswer> Frames<A> {
    pub(super) fn new(answer: A) -> Self {
        Self {
            reader: PathReader::new(answer.paths()),
            answer,
            contents: 0,
            malformed: false,
            done: Some(0),
            has_data: false,
            documents: 0,
            in_array: false,
            in_bare: false,
        }
    }

    /// Bytes of a body that is one JSON document or several. Returns what follows the one that ends
    /// first.
    pub(super) fn read_documents<'a>(&mut self, plain: &'a [u8]) -> &'a [u8] {
        let plain = if self.is_mid_document() {
            plain
        } else {
            plain.trim_ascii_start()
        };
        match (self.reader.status(), plain.first()) {
            (_, None) | (Status::Malformed, _) => return &[],
            (Status::Complete, Some(b'{' | b'[')) => self.reader.reset(),
            (Status::Complete, Some(_)) => self.malformed |= self.read(plain) == Status::Malformed,
            (Status::Incomplete, Some(b'[')) if !self.reader.has_begun() => self.in_array = true,
            (Status::Incomplete, Some(_)) => {}
        }
        let rest = self.read_document(plain);
        match self.reader.status() {
            Status::Complete => {
                self.documents += 1;
                self.end_frame(None);
            }
            Status::Incomplete => {}
            Status::Malformed => self.malformed = true,
        }
        rest
    }

    /// Bytes of a document that stands between events and is none. Returns what follows it.
    pub(super) fn read_bare<'a>(&mut self, plain: &'a [u8]) -> &'a [u8] {
        let rest = self.read_document(plain);
        if self.reader.status() != Status::Incomplete {
            self.end_bare();
        }
        rest
    }

    /// A document between events has ended, or is cut off. A broken one counts if it reports an
    /// error; other text that begins like a document (`[DONE]`) has no meaning there.
    pub(super) fn end_bare(&mut self) {
        if self.reader.status() == Status::Complete {
            self.end_frame(None);
        } else {
            self.malformed |= self.answer.end_broken_document();
        }
        self.in_bare = false;
        self.reader.reset();
    }

    fn read_document<'a>(&mut self, plain: &'a [u8]) -> &'a [u8] {
        let Self {
            reader,
            answer,
            contents,
            ..
        } = self;
        reader.feed_document(plain, &mut |field, value| {
            *contents += usize::from(answer.value(field, &value))
        })
    }

    /// The document of an event is at its end.
    pub(super) fn end_document(&mut self, event: Option<&str>) {
        let is_done = self.done.replace(0) == Some(DONE.len());
        if self.reader.status() == Status::Complete || self.read(b" ") == Status::Complete {
            self.end_frame(event);
        } else if is_done {
            self.answer.drop_document();
            self.answer.done();
        } else {
            self.malformed |= self.reader.has_begun();
            self.answer.drop_document();
        }
        self.done = Some(0);
        self.reader.reset();
    }

    fn read(&mut self, plain: &[u8]) -> Status {
        let Self {
            reader,
            answer,
            contents,
            ..
        } = self;
        reader.feed(plain, &mut |field, value| {
            *contents += usize::from(answer.value(field, &value))
        })
    }

    pub(super) fn is_mid_document(&self) -> bool {
        self.reader.has_begun() && self.reader.status() == Status::Incomplete
    }

    /// Whether a second document has at least begun.
    pub(super) fn has_several_documents(&self) -> bool {
        self.documents + usize::from(self.is_mid_document()) > 1
    }

    fn end_frame(&mut self, event: Option<&str>) {
        self.contents += usize::from(self.answer.end_document(event));
    }

    pub(super) fn take_contents(&mut self) -> usize {
        std::mem::take(&mut self.contents)
    }
}

impl<A: ReadAnswer> SseEvents for Frames<A> {
    fn data(&mut self, fragment: &[u8]) {
        self.has_data = true;
        self.done = self.done.and_then(|at| {
            DONE.get(at..)?
                .starts_with(fragment)
                .then_some(at + fragment.len())
        });
        self.read(fragment);
    }

    fn dispatch(&mut self, name: Option<&str>) {
        self.end_document(name);
    }
}

/// The event with which a stream of OpenAI's form ends. It is no JSON.
const DONE: &[u8] = b"[DONE]";
