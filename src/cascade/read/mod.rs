//! Reads JSON of the language server, in chunks of any size, into what it says of conversations and
//! models.
//!
//! Replies grow with their conversation (44 MB have been seen), so nothing is buffered: a reader
//! holds the values at its listed paths and skips everything else as it comes, above all prompts
//! and completions. Unknown enum values and members and unexpected types are skipped; only what
//! breaks the meaning of the rest is an error. No I/O, no clock.

mod agent_state;
mod entries;
mod fields;
mod models;
pub(in crate::cascade) mod names;
mod replies;
mod summaries;
mod table;
#[cfg(test)]
mod tests;
mod trajectory;
mod values;

pub use agent_state::AgentState;
pub use models::{MAX_MODELS, ModelConfig, UserStatus};
pub use replies::{Generations, Steps};
pub use summaries::{MAX_SUMMARIES, Summaries, Summary};

use crate::observe::json::{PathReader, Paths, Status, Value};

/// Reads one JSON document that holds a message of the kind `M`.
pub struct Reader<M: Message> {
    reader: PathReader<M::Field>,
    message: M,
    failure: Option<Malformed>,
}

/// A kind of message of the language server: which paths are read, and what their values mean
/// together.
pub trait Message: Sized {
    /// Identifies a path of the table.
    type Field: Copy + 'static;
    /// The parsed message.
    type Content;

    /// The paths that are read.
    fn paths() -> &'static Paths<Self::Field>;

    /// Reads the value at a listed path.
    ///
    /// # Errors
    /// [`Malformed`] when the message cannot be understood any more.
    fn read_value(&mut self, field: Self::Field, value: Value<'_>) -> Result<(), Malformed>;

    /// Ends the message after the whole document was read.
    ///
    /// # Errors
    /// [`Malformed`] when its parts do not fit each other.
    fn finish(self) -> Result<Self::Content, Malformed>;
}

/// Why a message cannot be used. Contains nothing of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The document ends too early.
    #[error("the JSON document is cut off")]
    CutOff,
    /// A list of indices does not match its list of entries, or is not a list of indices.
    #[error("a list of indices does not fit its entries")]
    Indices,
    /// It is not a JSON document, or one that is nested too deeply.
    #[error("not a JSON document")]
    NotJson,
    /// It holds more entries than any real message.
    #[error("more entries than any real message has")]
    TooMany,
}

impl<M: Message> Reader<M> {
    /// A reader before the first byte of a document.
    #[must_use]
    pub fn new(message: M) -> Self {
        Self {
            reader: PathReader::new(M::paths()),
            message,
            failure: None,
        }
    }

    /// Reads the next bytes of the document. Errors are reported by [`Self::finish`].
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self {
            reader,
            message,
            failure,
        } = self;
        if failure.is_none() {
            reader.feed(bytes, &mut |field, value| {
                if failure.is_none() {
                    *failure = message.read_value(field, value).err();
                }
            });
        }
    }

    /// Ends the document and returns the parsed message.
    ///
    /// # Errors
    /// [`Malformed`] when it is not whole, no JSON, or cannot be what the language server meant.
    pub fn finish(mut self) -> Result<M::Content, Malformed> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.reader.status() == Status::Malformed {
            return Err(Malformed::NotJson);
        }
        // The document may end in the middle of a number or literal, which only then turns out to
        // be invalid.
        match self.reader.finish(&mut |_, _| {}) {
            Status::Complete => self.message.finish(),
            Status::Incomplete | Status::Malformed => Err(Malformed::CutOff),
        }
    }
}
