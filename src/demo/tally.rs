//! What was spent, counted alike on both sides, so that provider and agent can be compared with
//! `==`.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Everything one side saw, by requested model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// One entry for each model that was named in a request.
    pub models: BTreeMap<String, ModelTally>,
    /// Answered requests that generate nothing (`loadCodeAssist`, `recordCodeAssistMetrics`, ...).
    pub control: u64,
    /// Bodies that did not have the hash announced for them.
    pub corrupt: u64,
}

/// What one model was asked and what it answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTally {
    /// Generations answered to their end.
    pub calls: u64,
    /// Generations refused with status 429.
    pub refused: u64,
    /// Generations that the agent left in the middle of the stream.
    pub aborted: u64,
    /// Answered `countTokens` requests.
    pub counted: u64,
    /// Tokens of `calls` and `aborted`; of the latter, what had been reported before the end.
    #[serde(flatten)]
    pub tokens: Tokens,
}

/// Tokens as an additive partition: the sum of the fields is the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens that no cache provided.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache, for five minutes.
    #[serde(default)]
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache, for an hour.
    #[serde(default)]
    pub cache_write_1h: u64,
    /// Prompt tokens of tool results.
    pub tool_input: u64,
    /// Tokens of the visible reply.
    pub output: u64,
    /// Tokens of the thinking.
    pub thinking: u64,
}

impl Tally {
    /// The entry of a model, made when it is missing.
    pub fn model(&mut self, name: &str) -> &mut ModelTally {
        self.models.entry(name.to_owned()).or_default()
    }

    /// Generations of all models that were answered to their end.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.models.values().map(|model| model.calls).sum()
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        for (name, theirs) in &other.models {
            let ours = self.model(name);
            ours.calls += theirs.calls;
            ours.refused += theirs.refused;
            ours.aborted += theirs.aborted;
            ours.counted += theirs.counted;
            ours.tokens += theirs.tokens;
        }
        self.control += other.control;
        self.corrupt += other.corrupt;
    }
}

impl Tokens {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.tool_input
            + self.output
            + self.thinking
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write_5m += other.cache_write_5m;
        self.cache_write_1h += other.cache_write_1h;
        self.tool_input += other.tool_input;
        self.output += other.output;
        self.thinking += other.thinking;
    }
}
