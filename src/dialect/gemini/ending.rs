//! How far the candidates of an answer have come, and why they stopped.
//!
//! A reason to stop is no proof of the end: some models write one into every frame or into the
//! first, empty one. What comes after it takes it back.

use crate::dialect::request::id;
use crate::observe::json::Value;
use crate::record::{Id, Provider};

/// What one frame says of one candidate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Candidate {
    /// Its number; one that names none has that of its place in the frame.
    pub(super) index: Option<u32>,
    pub(super) has_content: bool,
    pub(super) is_finished: bool,
}

/// Which candidates have begun and which of them have stopped, a bit for each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Endings {
    begun: u64,
    /// Has content in the frame.
    written: u64,
    stopped: u64,
    /// Candidates of the frame so far.
    count: u32,
    /// The prompt was refused, so that there will be no candidate.
    pub(super) is_blocked: bool,
}

impl Endings {
    /// Adds a candidate of the same frame. What has neither content nor a reason to stop is none.
    pub(super) fn add(&mut self, candidate: Candidate) {
        let place = candidate.index.unwrap_or(self.count).min(MAX_CANDIDATE);
        self.count = self.count.saturating_add(1);
        let bit = |is_set: bool| u64::from(is_set) << place;
        self.begun |= bit(candidate.has_content || candidate.is_finished);
        self.written |= bit(candidate.has_content);
        self.stopped |= bit(candidate.is_finished);
    }

    /// Takes what a later frame says: content that comes after a reason to stop takes it back.
    pub(super) fn merge(&mut self, later: Self) {
        self.begun |= later.begun;
        self.stopped = (self.stopped & !later.written) | later.stopped;
        self.is_blocked |= later.is_blocked;
    }

    /// Whether there was a candidate and all of them have stopped, or the prompt was refused.
    pub(super) fn are_all_over(&self) -> bool {
        self.is_blocked || (self.begun != 0 && self.begun & !self.stopped == 0)
    }
}

/// The last candidate with a bit of its own; the APIs give at most eight. Those behind it share it,
/// so that none of them is over before the last one is.
const MAX_CANDIDATE: u32 = u64::BITS - 1;

/// The reason for which a candidate has stopped; none when it goes on. Clients that ask for
/// `enum-encoding=int` get numbers.
pub(super) fn finish_name(value: Value<'_>, provider: Provider) -> Option<Id> {
    let names: &[&str] = match provider {
        Provider::Gemini => &GEMINI_FINISH_REASONS,
        _ => &VERTEX_FINISH_REASONS,
    };
    name(value, names)
}

/// The reason for which a prompt was refused, if it was.
pub(super) fn block_name(value: Value<'_>) -> Option<Id> {
    name(value, &BLOCK_REASONS)
}

/// The name of an enum's value, by its number where it has no text. The zero value of an enum says
/// nothing, and neither does an empty text.
fn name(value: Value<'_>, names: &[&str]) -> Option<Id> {
    let of_number = |text: &str| {
        names
            .get(text.parse::<usize>().ok()?)
            .and_then(|name| Id::from_wire(name))
    };
    match value {
        Value::Number("0") => None,
        Value::Number(text) => of_number(text).or_else(|| id(value)),
        Value::String { text, .. } if text.ends_with("_UNSPECIFIED") => None,
        Value::String { text, .. } if text.trim().is_empty() => None,
        // Whatever it is, it is a reason: one that is no identifier gets a name that says so.
        Value::String { .. } => id(value).or_else(|| Id::from_wire("OTHER")),
        _ => None,
    }
}

/// `google.ai.generativelanguage.v1beta.Candidate.FinishReason`, by number.
const GEMINI_FINISH_REASONS: [&str; 13] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "UNEXPECTED_TOOL_CALL",
];

/// `google.cloud.aiplatform.v1beta1.Candidate.FinishReason`, by number.
const VERTEX_FINISH_REASONS: [&str; 17] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "UNEXPECTED_TOOL_CALL",
    "NO_IMAGE",
];

/// `BlockedReason` of both, as far as they agree, by number.
const BLOCK_REASONS: [&str; 5] = [
    "BLOCK_REASON_UNSPECIFIED",
    "SAFETY",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
];
