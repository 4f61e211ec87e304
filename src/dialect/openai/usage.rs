//! `usage` as it stands on the wire, and what it means.
//!
//! The documented meaning is that the prompt includes what the cache holds and what was written to
//! it, that the completion includes reasoning, and that the total is the sum of both. xAI counts
//! reasoning beside the completion; since its models are served elsewhere, too, the total decides
//! and not the host.

use crate::dialect::reports::Report;
use crate::dialect::tokens::count;
use crate::observe::json::Value;
use crate::record::{Modality, ModalitySplits, SplitSum, TokenKind, TokenUsage, UsageTotal};

/// One count of `usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    CacheRead,
    CacheWrite,
    /// Of the writes to the cache, those that it keeps for twelve hours.
    CacheWrite12h,
    Input,
    Output,
    Reasoning,
    /// The tokens of one modality, which are part of a sum.
    Split(SplitSum, Modality),
    /// What tools of the provider have added beside the prompt.
    ToolInput,
    Total,
}

/// The counts of Chat Completions, completions and embeddings. What was cached has a name of its
/// own at Moonshot and at DeepSeek; OpenRouter alone counts videos and generated images.
pub(super) const CHAT_COUNTS: [(&str, Count); 15] = [
    ("prompt_tokens", Count::Input),
    ("completion_tokens", Count::Output),
    ("total_tokens", Count::Total),
    ("cached_tokens", Count::CacheRead),
    ("prompt_cache_hit_tokens", Count::CacheRead),
    ("prompt_tokens_details.cached_tokens", Count::CacheRead),
    (
        "prompt_tokens_details.cache_write_tokens",
        Count::CacheWrite,
    ),
    (
        "completion_tokens_details.reasoning_tokens",
        Count::Reasoning,
    ),
    (
        "prompt_tokens_details.audio_tokens",
        Count::Split(SplitSum::Input, Modality::Audio),
    ),
    (
        "prompt_tokens_details.image_tokens",
        Count::Split(SplitSum::Input, Modality::Image),
    ),
    (
        "prompt_tokens_details.text_tokens",
        Count::Split(SplitSum::Input, Modality::Text),
    ),
    (
        "prompt_tokens_details.video_tokens",
        Count::Split(SplitSum::Input, Modality::Video),
    ),
    (
        "completion_tokens_details.audio_tokens",
        Count::Split(SplitSum::Output, Modality::Audio),
    ),
    (
        "completion_tokens_details.image_tokens",
        Count::Split(SplitSum::Output, Modality::Image),
    ),
    (
        "completion_tokens_details.text_tokens",
        Count::Split(SplitSum::Output, Modality::Text),
    ),
];

/// The counts of Responses.
pub(super) const RESPONSES_COUNTS: [(&str, Count); 7] = [
    ("input_tokens", Count::Input),
    ("output_tokens", Count::Output),
    ("total_tokens", Count::Total),
    ("input_tokens_details.cached_tokens", Count::CacheRead),
    ("input_tokens_details.cache_write_tokens", Count::CacheWrite),
    (
        "input_tokens_details.cache_write_tokens_details.ttl_12h_tokens",
        Count::CacheWrite12h,
    ),
    ("output_tokens_details.reasoning_tokens", Count::Reasoning),
];

/// The counts of the Realtime API, which are those of Responses with details by modality.
pub(super) const REALTIME_COUNTS: [(&str, Count); 12] = [
    ("input_tokens", Count::Input),
    ("output_tokens", Count::Output),
    ("total_tokens", Count::Total),
    ("input_token_details.cached_tokens", Count::CacheRead),
    (
        "input_token_details.audio_tokens",
        Count::Split(SplitSum::Input, Modality::Audio),
    ),
    (
        "input_token_details.image_tokens",
        Count::Split(SplitSum::Input, Modality::Image),
    ),
    (
        "input_token_details.text_tokens",
        Count::Split(SplitSum::Input, Modality::Text),
    ),
    (
        "input_token_details.cached_tokens_details.audio_tokens",
        Count::Split(SplitSum::CacheRead, Modality::Audio),
    ),
    (
        "input_token_details.cached_tokens_details.image_tokens",
        Count::Split(SplitSum::CacheRead, Modality::Image),
    ),
    (
        "input_token_details.cached_tokens_details.text_tokens",
        Count::Split(SplitSum::CacheRead, Modality::Text),
    ),
    (
        "output_token_details.audio_tokens",
        Count::Split(SplitSum::Output, Modality::Audio),
    ),
    (
        "output_token_details.text_tokens",
        Count::Split(SplitSum::Output, Modality::Text),
    ),
];

/// What is reported in `usage` beside counts: the price of OpenRouter and of xAI, its searches, and
/// the times of Groq.
pub(super) const USAGE_REPORTS: [(&str, Report); 7] = [
    ("cost", Report::Cost),
    ("cost_details.upstream_inference_cost", Report::UpstreamCost),
    ("cost_in_usd_ticks", Report::CostTicks),
    ("is_byok", Report::HasOwnKey),
    ("queue_time", Report::QueueSeconds),
    (
        "server_side_tool_usage_details.web_search_calls",
        Report::WebSearches,
    ),
    ("total_time", Report::TotalSeconds),
];

/// What is reported beside `usage`; the credits are those of GitHub Copilot.
pub(super) const REPORTS: [(&str, Report); 2] = [
    ("copilot_usage.total_nano_aiu", Report::NanoCredits),
    ("service_tier", Report::ServiceTier),
];

/// The counts of `usage`, in tokens. Those of a later chunk are cumulative and replace those before
/// them, field by field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    parts: Parts,
    /// Of the parts as they are now: one of an earlier chunk is forgotten when a part has changed
    /// since.
    total: Option<u64>,
    splits: ModalitySplits,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Parts {
    input: Option<u64>,
    /// Part of `input`.
    cache_read: Option<u64>,
    /// Part of `input`.
    cache_write: Option<u64>,
    /// Part of `cache_write`.
    cache_write_12h: Option<u64>,
    output: Option<u64>,
    /// Part of `output`, unless the total says that it is not.
    reasoning: Option<u64>,
    /// Beside `input`.
    tool_input: Option<u64>,
}

/// What the counts of an answer mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The disjoint parts.
    pub(super) usage: TokenUsage,
    /// How the provider's total compares with them.
    pub(super) total: UsageTotal,
    /// What the tokens stand for.
    pub(super) modalities: ModalitySplits,
    /// Nothing contradicts the parts.
    pub(super) is_sound: bool,
}

impl Counts {
    /// Takes a count; what is none, such as `null`, says nothing.
    pub(super) fn take(&mut self, which: Count, value: &Value<'_>) {
        let place = match which {
            Count::CacheRead => &mut self.parts.cache_read,
            Count::CacheWrite => &mut self.parts.cache_write,
            Count::CacheWrite12h => &mut self.parts.cache_write_12h,
            Count::Input => &mut self.parts.input,
            Count::Output => &mut self.parts.output,
            Count::Reasoning => &mut self.parts.reasoning,
            Count::Split(sum, modality) => {
                if let Some(tokens) = count(value) {
                    self.splits[sum][modality] = tokens;
                }
                return;
            }
            Count::ToolInput => &mut self.parts.tool_input,
            Count::Total => &mut self.total,
        };
        *place = count(value).or(*place);
    }

    /// Replaces what a later chunk says anew.
    pub(super) fn merge(&mut self, later: Self) {
        let before = self.parts;
        let (parts, new) = (&mut self.parts, later.parts);
        parts.input = new.input.or(before.input);
        parts.cache_read = new.cache_read.or(before.cache_read);
        parts.cache_write = new.cache_write.or(before.cache_write);
        parts.cache_write_12h = new.cache_write_12h.or(before.cache_write_12h);
        parts.output = new.output.or(before.output);
        parts.reasoning = new.reasoning.or(before.reasoning);
        parts.tool_input = new.tool_input.or(before.tool_input);
        self.total = later.total.or(self.total.filter(|_| self.parts == before));
        for (sum, split) in later.splits.iter() {
            self.splits[sum].replace(*split);
        }
    }

    /// The parts, which never overlap. Reasoning is inside the output unless the total, or a
    /// smaller output, says that it is outside. Writes to the cache are kept for half an hour, or
    /// for a time that is not reported, unless they are told apart as those of twelve hours.
    pub(super) fn read(self) -> Reading {
        let Parts {
            input,
            cache_read,
            cache_write,
            cache_write_12h,
            output,
            reasoning,
            tool_input,
        } = self.parts;
        let thinking = reasoning.unwrap_or(0);
        let may_be_inside = thinking <= output.unwrap_or(0);
        let sum = input.unwrap_or(0) + output.unwrap_or(0) + tool_input.unwrap_or(0);
        let (total, is_outside) = match self.total {
            None => (UsageTotal::Absent, !may_be_inside),
            Some(total) if may_be_inside && total == sum => (UsageTotal::Agree, false),
            Some(total) if thinking > 0 && total == sum + thinking => (UsageTotal::Agree, true),
            Some(_) => (UsageTotal::Disagree, false),
        };
        // What is more than the prompt cannot be part of it.
        let cached = cache_read.unwrap_or(0) + cache_write.unwrap_or(0);
        let fresh = input.map(|input| input.checked_sub(cached).unwrap_or(input));
        let has_split = cache_write_12h <= cache_write;
        let long = cache_write_12h.filter(|_| has_split);
        let short = cache_write.map(|all| all - long.unwrap_or(0));
        let visible = output.map(|output| {
            if is_outside {
                output
            } else {
                output.saturating_sub(thinking)
            }
        });
        Reading {
            usage: TokenUsage::default()
                .with(TokenKind::Input, fresh)
                .with(TokenKind::CacheRead, cache_read)
                .with(TokenKind::CacheWrite5m, short)
                .with(TokenKind::CacheWrite1h, long)
                .with(TokenKind::ToolInput, tool_input)
                .with(TokenKind::Output, visible)
                .with(TokenKind::Thinking, reasoning),
            total,
            modalities: self.splits,
            is_sound: total != UsageTotal::Disagree && cached <= input.unwrap_or(0) && has_split,
        }
    }
}
