//! `usage` as it stands on the wire, and what it means: input is without what the cache holds, and
//! output includes thinking.

use crate::dialect::tokens::count;
use crate::observe::json::Value;
use crate::record::{TokenKind, TokenUsage};

/// One count of `usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Count {
    CacheRead,
    /// All writes, whatever their lifetime.
    CacheWrite,
    CacheWrite1h,
    CacheWrite5m,
    Input,
    Output,
    Thinking,
}

/// The counts of `usage`, in tokens. Those of `message_delta` are cumulative and replace those
/// before them, field by field; what it leaves out stands in `message_start`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Counts {
    /// Takes a count; what is none, such as `null`, says nothing.
    pub(super) fn take(&mut self, which: Count, value: &Value<'_>) {
        let place = match which {
            Count::CacheRead => &mut self.cache_read,
            Count::CacheWrite => &mut self.cache_write,
            Count::CacheWrite1h => &mut self.cache_write_1h,
            Count::CacheWrite5m => &mut self.cache_write_5m,
            Count::Input => &mut self.input,
            Count::Output => &mut self.output,
            Count::Thinking => &mut self.thinking,
        };
        *place = count(value).or(*place);
    }

    /// Replaces what a later document says anew.
    pub(super) fn merge(&mut self, later: Self) {
        self.input = later.input.or(self.input);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_write = later.cache_write.or(self.cache_write);
        self.cache_write_5m = later.cache_write_5m.or(self.cache_write_5m);
        self.cache_write_1h = later.cache_write_1h.or(self.cache_write_1h);
        self.output = later.output.or(self.output);
        self.thinking = later.thinking.or(self.thinking);
    }

    /// The parts, which never overlap. A write whose lifetime is not reported is one of five
    /// minutes: it is what the API does unless it is asked for more.
    pub(super) fn read(self) -> TokenUsage {
        let split = self.cache_write_5m.unwrap_or(0) + self.cache_write_1h.unwrap_or(0);
        let unsplit = self.cache_write.map(|all| all.saturating_sub(split));
        let five_minutes = match (self.cache_write_5m, unsplit) {
            (Some(known), unsplit) => Some(known + unsplit.unwrap_or(0)),
            (None, unsplit) => unsplit,
        };
        let thinking = self.thinking.unwrap_or(0);
        TokenUsage::default()
            .with(TokenKind::Input, self.input)
            .with(TokenKind::CacheRead, self.cache_read)
            .with(TokenKind::CacheWrite5m, five_minutes)
            .with(TokenKind::CacheWrite1h, self.cache_write_1h)
            .with(
                TokenKind::Output,
                self.output.map(|all| all.saturating_sub(thinking)),
            )
            .with(TokenKind::Thinking, self.thinking)
    }
}
