//! `usageMetadata` as it stands on the wire.

use crate::observe::json::Value;
use crate::record::TokenUsage;

/// The counts of `usageMetadata`, in tokens. Cumulative: each frame of a stream repeats and extends those before it, so
/// they are merged and never added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dialect) struct GeminiUsage {
    prompt: Option<u64>,
    /// Part of `prompt`.
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    tool_use_prompt: Option<u64>,
}

/// One count of `usageMetadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Count {
    Cached,
    Candidates,
    Prompt,
    Thoughts,
    ToolUsePrompt,
}

impl GeminiUsage {
    /// Takes a count from the wire: a JSON number, or the same in quotes as 64-bit integers are written by protobuf.
    /// Anything that is no count of tokens (negative, fractional, absurdly large) is ignored.
    pub(super) fn take(&mut self, count: Count, value: &Value<'_>) {
        let slot = match count {
            Count::Cached => &mut self.cached,
            Count::Candidates => &mut self.candidates,
            Count::Prompt => &mut self.prompt,
            Count::Thoughts => &mut self.thoughts,
            Count::ToolUsePrompt => &mut self.tool_use_prompt,
        };
        *slot = later_count(*slot, tokens(value));
    }

    /// Merges the counts of a later frame, field by field. A later frame may omit a field, and frames of zeros come
    /// before and between real ones; since counts only grow, a zero never replaces a count.
    pub(super) fn merge(&mut self, later: Self) {
        self.prompt = later_count(self.prompt, later.prompt);
        self.cached = later_count(self.cached, later.cached);
        self.candidates = later_count(self.candidates, later.candidates);
        self.thoughts = later_count(self.thoughts, later.thoughts);
        self.tool_use_prompt = later_count(self.tool_use_prompt, later.tool_use_prompt);
    }
}

impl From<GeminiUsage> for TokenUsage {
    fn from(wire: GeminiUsage) -> Self {
        Self {
            input: wire.prompt.map(|prompt| prompt.saturating_sub(wire.cached.unwrap_or(0))),
            cache_read: wire.cached,
            cache_write: None,
            tool_input: wire.tool_use_prompt,
            output: wire.candidates,
            thinking: wire.thoughts,
        }
    }
}

fn tokens(value: &Value<'_>) -> Option<u64> {
    let (Value::Number(text) | Value::String { text, cut: false }) = value else { return None };
    // Of what `str::parse` takes, a sign would have to be refused first.
    let digits = text.bytes().try_fold(0_u64, |tokens, byte| {
        let digit = char::from(byte).to_digit(10)?;
        tokens.checked_mul(10)?.checked_add(digit.into())
    });
    digits.filter(|tokens| *tokens <= TokenUsage::MAX_OF_A_KIND && !text.is_empty())
}

fn later_count(before: Option<u64>, later: Option<u64>) -> Option<u64> {
    later.filter(|tokens| *tokens > 0).or(before).or(later)
}
