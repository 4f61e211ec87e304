//! A few values out of a JSON document (RFC 8259) of any size: bytes in any chunks in, the values
//! at listed paths out.
//!
//! Constant memory: the stack of open containers (bounded), one key or one short value, and of a
//! stream of documents the shape of a short one, with which the next are compared; everything else
//! is skipped where it stands, long strings at the speed of `memchr`. A path matches decoded keys
//! exactly, so text inside a string never does. Structure, numbers, literals and escapes are
//! checked wherever they stand; the inside of strings is not (control characters and broken UTF-8
//! pass), because an observer gains nothing by being stricter than the agent.

mod elements;
mod number;
mod paths;
mod scalar;
mod shape;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod value;

use memchr::memchr2;

use number::Number;
use paths::NodeId;
pub use paths::Paths;
use shape::Repetition;
use state::{Level, Literal, State};
use text::{Escape, InvalidEscape, Text};
pub use value::{Status, Value};

/// Reads one document and hands out the values at the paths of a table, each with the tag of its
/// path, in the order of the document: of a repeated key, the last value wins when the caller lets
/// it.
pub struct PathReader<T: 'static> {
    paths: &'static Paths<T>,
    state: State,
    /// The open containers, outermost first.
    open: Vec<Level>,
    /// The place of the value that comes next or is being read, when a path leads to it or through
    /// it.
    here: Option<NodeId>,
    text: Text,
    /// What the documents of a stream have in common; takes no room before the second one.
    repetition: Option<Box<Repetition<T>>>,
    /// What the objects have in common of which a document is an array; takes no room before the
    /// second one.
    elements: Option<Box<Repetition<T>>>,
}

impl<T: Copy> PathReader<T> {
    /// A reader before the first byte of a document.
    #[must_use]
    pub fn new(paths: &'static Paths<T>) -> Self {
        Self::at(paths, Paths::<T>::ROOT)
    }

    /// A reader of one value, which stands at this place.
    fn at(paths: &'static Paths<T>, place: NodeId) -> Self {
        Self {
            paths,
            state: State::START,
            open: Vec::new(),
            here: Some(place),
            text: Text::default(),
            repetition: None,
            elements: None,
        }
    }

    /// Goes back to before the first byte, for the next document of a stream.
    pub fn reset(&mut self) {
        self.state = State::START;
        self.open.clear();
        self.here = Some(Paths::<T>::ROOT);
        self.repetition.get_or_insert_default();
    }

    /// Reads the next bytes of the document. A malformed document hands out nothing more; what it
    /// handed out before may be wrong.
    pub fn feed(&mut self, bytes: &[u8], on: &mut impl FnMut(T, Value<'_>)) -> Status {
        if self.has_begun() {
            return self.read(bytes, on);
        }
        let rest = self.feed_document(bytes, on);
        self.expect_space(rest)
    }

    /// Reads the next bytes up to the end of the document, and returns what follows it: nothing
    /// while the document goes on, and all that is left of the bytes when it is malformed.
    pub fn feed_document<'a>(
        &mut self,
        bytes: &'a [u8],
        on: &mut impl FnMut(T, Value<'_>),
    ) -> &'a [u8] {
        if self.has_begun() {
            return self.read_document(bytes, on);
        }
        let repeated = self
            .repetition
            .as_mut()
            .and_then(|known| known.read(bytes, &mut self.text, on));
        if let Some(length) = repeated {
            self.state = State::After;
            return bytes.get(length..).unwrap_or_default();
        }
        let rest = self.read_document(bytes, on);
        let status = self.status();
        if let (Some(repetition), Status::Complete) = (&mut self.repetition, status) {
            let (document, _) = bytes.split_at(bytes.len() - rest.len());
            repetition.missed(self.paths, Paths::<T>::ROOT, document);
        }
        rest
    }

    fn read_document<'a>(
        &mut self,
        mut bytes: &'a [u8],
        on: &mut impl FnMut(T, Value<'_>),
    ) -> &'a [u8] {
        // The object that is being read as an element, from its first byte.
        let mut element = None;
        while let (Status::Incomplete, Some((&byte, rest))) = (self.status(), bytes.split_first()) {
            bytes = match self.state {
                State::String { key, escape: None } => self.string_run(key, bytes, on),
                State::Number(number) => self.number_run(number, bytes, on),
                State::Value { .. } if byte == b'{' && self.is_at_element() => {
                    if let Some(length) = self.repeated_element(bytes, on) {
                        self.state = State::After;
                        bytes.get(length..).unwrap_or_default()
                    } else {
                        element = Some(bytes);
                        self.byte(byte, on);
                        rest
                    }
                }
                State::Key { .. } | State::After if byte == b'}' => {
                    self.byte(byte, on);
                    if self.is_at_element() {
                        self.element_ended(element.take(), rest);
                    }
                    rest
                }
                _ => {
                    self.byte(byte, on);
                    rest
                }
            };
        }
        bytes
    }

    fn read(&mut self, bytes: &[u8], on: &mut impl FnMut(T, Value<'_>)) -> Status {
        let rest = self.read_document(bytes, on);
        self.expect_space(rest)
    }

    /// Nothing but white space may follow a document.
    fn expect_space(&mut self, rest: &[u8]) -> Status {
        if !rest
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.state = State::Malformed;
        }
        self.status()
    }

    /// Tells the reader that no more bytes follow: only now can a document that is a bare number be
    /// complete.
    pub fn finish(&mut self, on: &mut impl FnMut(T, Value<'_>)) -> Status {
        self.feed(b" ", on)
    }

    /// How far the document has been read.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.state {
            State::Malformed => Status::Malformed,
            State::After if self.open.is_empty() => Status::Complete,
            _ => Status::Incomplete,
        }
    }

    /// Whether anything but white space has been read.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !(self.open.is_empty() && matches!(self.state, State::Value { .. }))
    }

    /// One byte outside of the runs that [`Self::read`] reads at once.
    fn byte(&mut self, byte: u8, on: &mut impl FnMut(T, Value<'_>)) {
        self.state = match (self.state, byte) {
            (
                State::String {
                    key,
                    escape: Some(escape),
                },
                _,
            ) => match escape.next(byte, &mut self.text) {
                Ok(escape) => State::String { key, escape },
                Err(InvalidEscape) => State::Malformed,
            },
            (State::Literal(literal, at), _) => self.literal_byte(literal, at, byte, on),
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Value { close: true }, b']') => self.close(true, on),
            (State::Value { .. }, _) => self.begin_value(byte, on),
            (State::Key { close: true }, b'}') => self.close(false, on),
            (State::Key { .. }, b'"') => {
                let wanted = self.open.last().and_then(|level| level.node).is_some();
                self.text.begin(wanted);
                State::String {
                    key: true,
                    escape: None,
                }
            }
            (State::Colon, b':') => State::Value { close: false },
            (State::After, b',') => match self.open.last() {
                Some(Level { array: true, .. }) => State::Value { close: false },
                Some(Level { array: false, .. }) => State::Key { close: false },
                None => State::Malformed,
            },
            (State::After, b']' | b'}') => self.close(byte == b']', on),
            _ => State::Malformed,
        };
    }

    fn begin_value(&mut self, byte: u8, on: &mut impl FnMut(T, Value<'_>)) -> State {
        if let Some(Level { node, array: true }) = self.open.last() {
            self.here = node.and_then(|node| self.paths.element(node));
        }
        self.text.begin(self.tag(self.here).is_some());
        match byte {
            b'"' => State::String {
                key: false,
                escape: None,
            },
            b'{' => self.open(false, on),
            b'[' => self.open(true, on),
            b'f' => State::Literal(Literal::False, 1),
            b'n' => State::Literal(Literal::Null, 1),
            b't' => State::Literal(Literal::True, 1),
            _ => Number::first(byte).map_or(State::Malformed, |number| {
                self.text.push(&[byte]);
                State::Number(number)
            }),
        }
    }

    fn open(&mut self, array: bool, on: &mut impl FnMut(T, Value<'_>)) -> State {
        if self.open.len() == MAX_DEPTH {
            return State::Malformed;
        }
        self.emit(
            self.here,
            if array { Value::Array } else { Value::Object },
            on,
        );
        self.open.push(Level {
            node: self.here,
            array,
        });
        if array {
            State::Value { close: true }
        } else {
            State::Key { close: true }
        }
    }

    fn close(&mut self, array: bool, on: &mut impl FnMut(T, Value<'_>)) -> State {
        match self.open.pop() {
            Some(level) if level.array == array => {
                self.emit(level.node, Value::End, on);
                State::After
            }
            _ => State::Malformed,
        }
    }

    /// Reads a string to its end, to an escape or to the end of the bytes, and returns what
    /// follows.
    fn string_run<'a>(
        &mut self,
        key: bool,
        bytes: &'a [u8],
        on: &mut impl FnMut(T, Value<'_>),
    ) -> &'a [u8] {
        let (run, tail) = bytes.split_at(memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()));
        let Some((end, tail)) = tail.split_first() else {
            self.text.push(run);
            return tail;
        };
        self.state = match (end, key) {
            (b'\\', _) => {
                self.text.push(run);
                State::String {
                    key,
                    escape: Some(Escape::Start),
                }
            }
            (_, true) => {
                self.enter_member(run, on);
                State::Colon
            }
            (_, false) => {
                if let Some(tag) = self.tag(self.here) {
                    let (text, cut) = self.text.complete(run).as_str();
                    on(tag, Value::String { text, cut });
                }
                State::After
            }
        };
        tail
    }

    /// A key ends with this run.
    fn enter_member(&mut self, run: &[u8], on: &mut impl FnMut(T, Value<'_>)) {
        let key = self.text.complete(run);
        let container = self.open.last().and_then(|level| level.node);
        self.here = container.and_then(|node| self.paths.member(node, key.all_bytes()?));
        let Some(any) = container.and_then(|node| self.paths.any_member(node)) else {
            return;
        };
        if let (None, (key, false)) = (self.here, key.as_str()) {
            self.here = Some(any);
            if let Some(tag) = self.paths.tag(any) {
                on(tag, Value::Key(key));
            }
        }
    }

    /// Reads a number to its end or to the end of the bytes and returns what follows.
    fn number_run<'a>(
        &mut self,
        number: Number,
        bytes: &'a [u8],
        on: &mut impl FnMut(T, Value<'_>),
    ) -> &'a [u8] {
        let (number, length) = number.run(bytes);
        let (run, tail) = bytes.split_at(length);
        self.text.push(run);
        self.state = State::Number(number);
        if !tail.is_empty() {
            self.end_number(number, on);
        }
        tail
    }

    fn end_number(&mut self, number: Number, on: &mut impl FnMut(T, Value<'_>)) {
        self.state = if number.is_whole() {
            State::After
        } else {
            State::Malformed
        };
        // What is left of a longer number would be another number.
        let tag = self.tag(self.here);
        if let (State::After, Some(tag), (text, false)) =
            (self.state, tag, self.text.complete(b"").as_str())
        {
            on(tag, Value::Number(text));
        }
    }

    fn literal_byte(
        &self,
        literal: Literal,
        at: usize,
        byte: u8,
        on: &mut impl FnMut(T, Value<'_>),
    ) -> State {
        let (text, value) = literal.parts();
        if text.get(at) != Some(&byte) {
            return State::Malformed;
        }
        if at + 1 < text.len() {
            return State::Literal(literal, at + 1);
        }
        self.emit(self.here, value, on);
        State::After
    }

    fn tag(&self, place: Option<NodeId>) -> Option<T> {
        place.and_then(|node| self.paths.tag(node))
    }

    fn emit(&self, place: Option<NodeId>, value: Value<'_>, on: &mut impl FnMut(T, Value<'_>)) {
        if let Some(tag) = self.tag(place) {
            on(tag, value);
        }
    }
}

/// Deepest nesting that is read. The documents of providers have some twenty levels, serde_json
/// reads as many as this.
pub const MAX_DEPTH: usize = 128;

/// Longest text of a string, key or number that is kept, in bytes. The longest identifiers have 96,
/// and no more of a prompt or completion should ever stay here.
pub const MAX_TEXT_BYTES: usize = 256;
