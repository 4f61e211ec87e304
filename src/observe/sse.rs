//! Server-sent events (WHATWG HTML, section 9.2.6 "Interpreting an event stream"): bytes in, events
//! out in fragments.
//!
//! Constant memory whatever the peer sends: the data of an event are passed on as they come and
//! never collected, so one event may be of any length; only the event's name is kept, and it is
//! bounded. Where the chunks are cut makes no difference to the events seen, only to the fragments
//! of their data.

#[cfg(test)]
mod tests;

use memchr::memchr2;

/// Takes the events of a stream.
pub trait SseEvents {
    /// A fragment of the current event's data. The lines of the data are joined by `\n`.
    fn data(&mut self, fragment: &[u8]);

    /// The current event is complete: the fragments since the last dispatch were its data. `name`
    /// is its `event` field, cut at [`MAX_NAME_BYTES`] and at the first byte that is not UTF-8.
    fn dispatch(&mut self, name: Option<&str>);
}

/// Finds the events of one stream.
#[derive(Debug, Clone)]
pub struct SseScanner {
    state: State,
    /// The last line ended with CR: an LF now belongs to the same line end.
    after_cr: bool,
    /// The current event has a `data` line.
    has_data: bool,
    /// The start of the current line, as long as a field name can still be.
    field: Text<LONGEST_FIELD>,
    /// The current event's name.
    name: Text<MAX_NAME_BYTES>,
}

impl Default for SseScanner {
    fn default() -> Self {
        Self {
            state: State::Mark(0),
            after_cr: false,
            has_data: false,
            field: Text::EMPTY,
            name: Text::EMPTY,
        }
    }
}

impl SseScanner {
    /// Reads the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8], events: &mut impl SseEvents) {
        self.read(bytes, false, events);
    }

    /// Reads the next bytes of the stream up to a JSON object or array that begins a line, and
    /// returns what begins with it.
    ///
    /// For an agent such a line has an unknown name and is ignored. Providers write errors this
    /// way, when a stream that has begun cannot go on. The line completes the event before it. The
    /// reader of the document passes on what follows it; the rest of the line is ignored.
    pub fn feed_to_document<'a>(
        &mut self,
        bytes: &'a [u8],
        events: &mut impl SseEvents,
    ) -> &'a [u8] {
        self.read(bytes, true, events)
    }

    /// Reads to the end of the bytes, or to a document where it is to stop there.
    fn read<'a>(
        &mut self,
        mut bytes: &'a [u8],
        stops: bool,
        events: &mut impl SseEvents,
    ) -> &'a [u8] {
        while let Some((&byte, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = rest;
                continue;
            }
            bytes = match self.state {
                State::Mark(at) => {
                    if self.mark_byte(at, byte) {
                        rest
                    } else {
                        bytes
                    }
                }
                State::FieldName => match bytes.strip_prefix(b"data:") {
                    // Nearly all lines begin so.
                    Some(value) if self.field.len == 0 => {
                        self.field.push(b"data");
                        self.state = State::AfterColon(self.begin_value(events));
                        value
                    }
                    _ if stops && matches!(byte, b'{' | b'[') && self.field.is_blank() => {
                        self.dispatch(events);
                        self.state = State::Value(Field::Other);
                        return bytes;
                    }
                    _ => {
                        self.name_byte(byte, events);
                        rest
                    }
                },
                State::AfterColon(field) => {
                    self.state = State::Value(field);
                    if byte == b' ' { rest } else { bytes }
                }
                State::Value(field) => self.value(field, bytes, events),
            };
        }
        bytes
    }

    /// Whether the stream, if it ends here, ends inside an event, which the agent then never sees.
    #[must_use]
    pub fn is_mid_event(&self) -> bool {
        let in_line = match self.state {
            State::FieldName => self.field.len > 0,
            State::AfterColon(field) | State::Value(field) => field != Field::Other,
            State::Mark(_) => false,
        };
        self.has_data || in_line
    }

    /// Whether the byte was part of a byte order mark.
    fn mark_byte(&mut self, at: usize, byte: u8) -> bool {
        let matches = MARK.get(at) == Some(&byte);
        self.state = match (matches, at) {
            (true, at) if at + 1 < MARK.len() => State::Mark(at + 1),
            (true, _) | (false, 0) => State::FieldName,
            // What looked like a mark begins a name that is no known field.
            (false, _) => State::Value(Field::Other),
        };
        matches
    }

    fn name_byte(&mut self, byte: u8, events: &mut impl SseEvents) {
        match byte {
            b'\r' | b'\n' if self.field.len == 0 => {
                self.dispatch(events);
                self.end_line(byte);
            }
            b'\r' | b'\n' => {
                self.begin_value(events);
                self.end_line(byte);
            }
            b':' => self.state = State::AfterColon(self.begin_value(events)),
            _ if self.field.len == LONGEST_FIELD => self.state = State::Value(Field::Other),
            _ => self.field.push(&[byte]),
        }
    }

    /// A field's name is complete.
    fn begin_value(&mut self, events: &mut impl SseEvents) -> Field {
        match self.field.bytes() {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    events.data(b"\n");
                }
                Field::Data
            }
            b"event" => {
                self.name = Text::EMPTY;
                Field::Event
            }
            _ => Field::Other,
        }
    }

    /// Reads to the end of the line or of the bytes and returns what follows.
    fn value<'a>(
        &mut self,
        field: Field,
        bytes: &'a [u8],
        events: &mut impl SseEvents,
    ) -> &'a [u8] {
        let (value, tail) = bytes.split_at(memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len()));
        match field {
            Field::Data if !value.is_empty() => events.data(value),
            Field::Event => self.name.push(value),
            Field::Data | Field::Other => {}
        }
        let Some((end, tail)) = tail.split_first() else {
            return tail;
        };
        self.end_line(*end);
        tail
    }

    fn end_line(&mut self, end: u8) {
        self.state = State::FieldName;
        self.field = Text::EMPTY;
        self.after_cr = end == b'\r';
    }

    fn dispatch(&mut self, events: &mut impl SseEvents) {
        let name = std::mem::replace(&mut self.name, Text::EMPTY);
        if std::mem::take(&mut self.has_data) {
            let valid = name.bytes().utf8_chunks().next().map(|chunk| chunk.valid());
            events.dispatch(valid.filter(|name| !name.is_empty()));
        }
    }
}

/// Longest event name that is distinguished; the names in use have at most some forty bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// `event` is the longest field that is read.
const LONGEST_FIELD: usize = 5;

/// U+FEFF in UTF-8, which may precede a stream.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

#[derive(Debug, Clone, Copy)]
enum State {
    /// At the start of the stream, so many bytes into a byte order mark.
    Mark(usize),
    /// At the start of a line or in its field's name.
    FieldName,
    /// Where one space is dropped.
    AfterColon(Field),
    Value(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    /// A comment (its name is empty) or a field that is not read.
    Other,
}

/// The first `N` bytes of a text.
#[derive(Debug, Clone, Copy)]
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn is_blank(&self) -> bool {
        self.bytes().iter().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    fn push(&mut self, more: &[u8]) {
        let free = self.bytes.iter_mut().skip(self.len);
        self.len += free.zip(more).map(|(slot, byte)| *slot = *byte).count();
    }
}
