//! The headers of a message, of which the three are kept that say what it is.
//!
//! A header is `u8 length of the name | name | u8 type | value`. Values of most types have a fixed
//! length; a string (7) and bytes (6) begin with a `u16` that says theirs.

use super::Malformed;

/// What the headers of one message say.
#[derive(Debug, Default)]
pub struct Headers {
    message_type: Short,
    event_type: Short,
    exception_type: Short,
    /// The name of the header that is being read.
    name: Short,
    state: State,
}

impl Headers {
    /// `event`, `exception` or `error`.
    #[must_use]
    pub fn message_type(&self) -> Option<&str> {
        self.message_type.text()
    }

    /// Which event it is.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.event_type.text()
    }

    /// Which exception it is.
    #[must_use]
    pub fn exception_type(&self) -> Option<&str> {
        self.exception_type.text()
    }

    pub(super) fn clear(&mut self) {
        let Self {
            message_type,
            event_type,
            exception_type,
            name,
            state,
        } = self;
        for text in [message_type, event_type, exception_type, name] {
            text.begin(false);
        }
        *state = State::Start;
    }

    /// Whether the headers may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Start
    }

    /// Reads the next bytes of the headers.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let Some((&byte, rest)) = bytes.split_first() {
            (self.state, bytes) = match self.state {
                State::Start => {
                    self.name.begin(true);
                    (State::name(byte.into()), rest)
                }
                State::Name { left } => {
                    let (part, rest) = bytes.split_at(left.min(bytes.len()));
                    self.name.push(part);
                    (State::name(left - part.len()), rest)
                }
                State::Type => (State::of_type(byte)?, rest),
                State::Length { is_text } => (
                    State::LengthEnd {
                        is_text,
                        high: byte,
                    },
                    rest,
                ),
                State::LengthEnd { is_text, high } => {
                    if let Some(text) = self.wanted().filter(|_| is_text) {
                        text.begin(true);
                    }
                    let length = u16::from_be_bytes([high, byte]).into();
                    (State::value(is_text, length), rest)
                }
                State::Value { is_text, left } => {
                    let (part, rest) = bytes.split_at(left.min(bytes.len()));
                    if let Some(text) = self.wanted().filter(|_| is_text) {
                        text.push(part);
                    }
                    (State::value(is_text, left - part.len()), rest)
                }
            };
        }
        Ok(())
    }

    /// Where the value of the current header is kept, if it is.
    fn wanted(&mut self) -> Option<&mut Short> {
        match self.name.text()? {
            ":message-type" => Some(&mut self.message_type),
            ":event-type" => Some(&mut self.event_type),
            ":exception-type" => Some(&mut self.exception_type),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before a header.
    #[default]
    Start,
    Name {
        left: usize,
    },
    Type,
    /// Before the length of a value.
    Length {
        is_text: bool,
    },
    /// Inside of it.
    LengthEnd {
        is_text: bool,
        high: u8,
    },
    Value {
        is_text: bool,
        left: usize,
    },
}

impl State {
    fn name(left: usize) -> Self {
        match left {
            0 => Self::Type,
            left => Self::Name { left },
        }
    }

    fn value(is_text: bool, left: usize) -> Self {
        match left {
            0 => Self::Start,
            left => Self::Value { is_text, left },
        }
    }

    /// What follows a type.
    fn of_type(code: u8) -> Result<Self, Malformed> {
        let length = match code {
            // True and false have no value.
            0 | 1 => 0,
            // Integers of 8, 16, 32 and 64 bits.
            2 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            // Bytes and strings.
            6 | 7 => return Ok(Self::Length { is_text: code == 7 }),
            // A time in milliseconds.
            8 => 8,
            // A UUID.
            9 => 16,
            _ => return Err(Malformed),
        };
        Ok(Self::value(false, length))
    }
}

/// A short text, or nothing: what is longer is no name that is known.
#[derive(Debug, Default)]
struct Short {
    bytes: Vec<u8>,
    is_there: bool,
    is_cut: bool,
}

impl Short {
    /// Empties it. `is_there`: it is to be a text that follows.
    fn begin(&mut self, is_there: bool) {
        self.bytes.clear();
        self.is_there = is_there;
        self.is_cut = false;
    }

    fn push(&mut self, part: &[u8]) {
        let room = MAX_TEXT_BYTES.saturating_sub(self.bytes.len());
        self.is_cut |= part.len() > room;
        self.bytes.extend(part.iter().take(room));
    }

    fn text(&self) -> Option<&str> {
        let is_whole = self.is_there && !self.is_cut;
        is_whole
            .then(|| std::str::from_utf8(&self.bytes).ok())
            .flatten()
    }
}

/// Longest name or value that is kept, in bytes. The longest known is `modelStreamErrorException`.
const MAX_TEXT_BYTES: usize = 64;
