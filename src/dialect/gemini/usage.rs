//! `usageMetadata` as it stands on the wire, and what it means.
//!
//! The documented meaning is that the prompt includes what was cached, that candidates and thoughts
//! are apart, and that `totalTokenCount` is the sum of prompt, candidates, thoughts and tool use.
//! Not every model and gateway keeps to it, so the provider's own total decides between the
//! readings that are known; see [`GeminiUsage::read`].

use crate::dialect::tokens::count;
use crate::observe::json::Value;
use crate::record::TokenKind::{CacheRead, Input, Output, Thinking, ToolInput};
use crate::record::{TokenUsage, UsageTotal};

/// The counts of `usageMetadata`, in tokens. Cumulative: each frame of a stream repeats and extends
/// those before it, so they are merged and never added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dialect) struct GeminiUsage {
    prompt: Option<u64>,
    /// Part of `prompt`, as documented.
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    tool_use_prompt: Option<u64>,
    /// Of the other counts as they are now: one of an earlier frame is forgotten when a count has
    /// changed since.
    total: Option<u64>,
}

/// One count of `usageMetadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Count {
    Cached,
    Candidates,
    /// The prompt of one of several inputs that one request has: the sum of them is the prompt.
    OneOfPrompts,
    Prompt,
    Thoughts,
    ToolUsePrompt,
    Total,
}

/// What an answer bears besides its usage, as far as counts must go with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dialect) struct Bears {
    /// Visible output: text, a function call or data.
    pub(in crate::dialect) output: bool,
    /// A thought.
    pub(in crate::dialect) thought: bool,
}

impl Bears {
    pub(super) fn is_something(self) -> bool {
        self.output || self.thought
    }

    pub(super) fn merge(&mut self, later: Self) {
        self.output |= later.output;
        self.thought |= later.thought;
    }
}

/// What the counts of an answer mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) struct Reading {
    /// The disjoint parts.
    pub(in crate::dialect) usage: TokenUsage,
    /// How the provider's total compares with them.
    pub(in crate::dialect) total: UsageTotal,
    /// Nothing contradicts the parts: the total agrees if there is one, and everything that
    /// was generated is counted.
    pub(in crate::dialect) is_sound: bool,
}

impl GeminiUsage {
    /// Takes a count from the wire: a JSON number, or the same in quotes as 64-bit integers are
    /// written by protobuf. Anything that is no count of tokens (negative, fractional, absurdly
    /// large) is ignored.
    pub(super) fn take(&mut self, which: Count, value: &Value<'_>) {
        let new = count(value);
        let slot = match which {
            Count::Cached => &mut self.cached,
            Count::Candidates => &mut self.candidates,
            Count::OneOfPrompts => {
                self.prompt = new
                    .map(|new| self.prompt.unwrap_or(0).saturating_add(new))
                    .or(self.prompt);
                return;
            }
            Count::Prompt => &mut self.prompt,
            Count::Thoughts => &mut self.thoughts,
            Count::ToolUsePrompt => &mut self.tool_use_prompt,
            Count::Total => &mut self.total,
        };
        *slot = later_count(*slot, new);
    }

    /// Merges the counts of a later frame, field by field. A later frame may omit a field, and
    /// frames of zeros come before and between real ones; since counts only grow, a zero never
    /// replaces a count.
    pub(super) fn merge(&mut self, later: Self) {
        if later == Self::default() || later == *self {
            return;
        }
        let before = self.parts();
        self.prompt = later_count(self.prompt, later.prompt);
        self.cached = later_count(self.cached, later.cached);
        self.candidates = later_count(self.candidates, later.candidates);
        self.thoughts = later_count(self.thoughts, later.thoughts);
        self.tool_use_prompt = later_count(self.tool_use_prompt, later.tool_use_prompt);
        let total = later.total.filter(|total| *total > 0);
        self.total = total.or(self.total.filter(|_| self.parts() == before));
    }

    /// What the counts mean beside an answer that bears so much.
    ///
    /// The documented meaning goes first where several fit the total. Where none fits, and without
    /// a total, the parts are read as documented.
    pub(in crate::dialect) fn read(self, bears: Bears) -> Reading {
        let reported = self.total.filter(|total| *total > 0);
        let fitting = reported.and_then(|total| self.fit(total, bears));
        let total = match (reported, fitting) {
            (None, _) => UsageTotal::Absent,
            (Some(_), None) => UsageTotal::Disagree,
            (Some(_), Some(_)) => UsageTotal::Agree,
        };
        let usage = fitting.unwrap_or_else(|| self.uncounted_output(reported, bears));
        // Frames of zeros are no figures where something was generated.
        let is_empty = usage.total() == 0 && bears.is_something();
        let usage = if is_empty {
            TokenUsage::default()
        } else {
            usage
        };
        Reading {
            usage,
            total,
            is_sound: total != UsageTotal::Disagree && self.covers(&usage, total, bears),
        }
    }

    /// Whether there is a count for everything that was generated, and no count that contradicts
    /// another.
    fn covers(self, usage: &TokenUsage, total: UsageTotal, bears: Bears) -> bool {
        let has_input = [usage[Input], usage[CacheRead]]
            .iter()
            .flatten()
            .any(|tokens| *tokens > 0);
        let has_output = usage[Output].is_some_and(|tokens| tokens > 0);
        // That what was cached is no part of the prompt needs a total that says so.
        let is_consistent = total == UsageTotal::Agree || self.cached <= self.prompt;
        is_consistent && (has_output || !bears.output) && (has_input || !bears.is_something())
    }

    /// The documented meaning; of a total that is larger than the parts, the rest is visible output
    /// that is not counted.
    fn uncounted_output(self, total: Option<u64>, bears: Bears) -> TokenUsage {
        let documented = self.as_documented();
        let is_uncounted =
            bears.output && self.prompt > Some(0) && documented[Output].unwrap_or(0) == 0;
        let rest = total
            .and_then(|total| total.checked_sub(self.sum()))
            .filter(|rest| *rest > 0 && is_uncounted);
        documented.with(Output, rest.or(documented[Output]))
    }

    /// The first known meaning that the total agrees with.
    fn fit(self, total: u64, bears: Bears) -> Option<TokenUsage> {
        let [prompt, cached, candidates, thoughts, _] = self.parts();
        let (apart, documented) = (self.sum(), self.as_documented());
        let inside = documented.with(Output, candidates.saturating_sub(thoughts));
        let outside = |usage: TokenUsage| usage.with(Input, self.prompt);
        let may_be_inside = 0 < thoughts && thoughts <= candidates;
        let meanings = [
            (true, apart, documented),
            // The candidates include the thoughts.
            (may_be_inside, apart.saturating_sub(thoughts), inside),
            // The prompt does not include what was cached, but the total does.
            (
                cached > 0,
                apart.saturating_add(cached),
                outside(documented),
            ),
            (
                may_be_inside && cached > 0,
                apart.saturating_sub(thoughts).saturating_add(cached),
                outside(inside),
            ),
        ];
        let known = meanings
            .into_iter()
            .find(|(is_possible, sum, _)| *is_possible && *sum == total);
        // What only the total includes are thoughts, unless it is visible output without a count.
        let uncounted = total
            .checked_sub(apart)
            .filter(|_| prompt > 0 && thoughts == 0 && (candidates > 0 || !bears.output));
        known
            .map(|(.., usage)| usage)
            .or_else(|| Some(documented.with(Thinking, uncounted?)))
    }

    /// What was cached is part of the prompt, unless it is more than that.
    fn as_documented(self) -> TokenUsage {
        let fresh = |prompt: u64| {
            prompt
                .checked_sub(self.cached.unwrap_or(0))
                .unwrap_or(prompt)
        };
        TokenUsage::default()
            .with(Input, self.prompt.map(fresh))
            .with(CacheRead, self.cached)
            .with(ToolInput, self.tool_use_prompt)
            .with(Output, self.candidates)
            .with(Thinking, self.thoughts)
    }

    /// What the total is, as documented.
    fn sum(self) -> u64 {
        let [prompt, _, candidates, thoughts, tool_use] = self.parts();
        [prompt, candidates, thoughts, tool_use]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Prompt, cached, candidates, thoughts and tool use; what is not reported counts 0.
    fn parts(self) -> [u64; 5] {
        [
            self.prompt,
            self.cached,
            self.candidates,
            self.thoughts,
            self.tool_use_prompt,
        ]
        .map(Option::unwrap_or_default)
    }
}

fn later_count(before: Option<u64>, later: Option<u64>) -> Option<u64> {
    later.filter(|tokens| *tokens > 0).or(before).or(later)
}
