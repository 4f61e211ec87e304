//! Bedrock's own figures about `invoke`, whatever the model says: in the head of an answer in one
//! document, in `amazon-bedrock-invocationMetrics` of the last event of a stream.

use crate::dialect::tokens::count;
use crate::observe::exchange::ResponseHead;
use crate::observe::json::Value;
use crate::record::TokenKind::{
    CacheRead, CacheWrite1h, CacheWrite5m, Input, Output, Thinking, ToolInput,
};
use crate::record::{TokenUsage, UsageTotal};

/// The header fields of an answer in one document, in tokens.
pub(super) const CACHE_READ: &str = "x-amzn-bedrock-cache-read-input-token-count";
/// As [`CACHE_READ`]: what was written to the cache.
pub(super) const CACHE_WRITE: &str = "x-amzn-bedrock-cache-write-input-token-count";
/// As [`CACHE_READ`]: the input, without what the cache holds.
pub(super) const INPUT: &str = "x-amzn-bedrock-input-token-count";
/// As [`CACHE_READ`]: the output.
pub(super) const OUTPUT: &str = "x-amzn-bedrock-output-token-count";

/// One of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    CacheRead,
    CacheWrite,
    Input,
    Output,
}

/// The figures, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Metrics {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
}

impl Metrics {
    /// What the head of an answer says.
    pub(super) fn of(head: &ResponseHead) -> Self {
        let mut metrics = Self::default();
        for (name, metric) in [
            (CACHE_READ, Metric::CacheRead),
            (CACHE_WRITE, Metric::CacheWrite),
            (INPUT, Metric::Input),
            (OUTPUT, Metric::Output),
        ] {
            if let Some(text) = head.fields.get(name) {
                metrics.take(metric, &Value::Number(text));
            }
        }
        metrics
    }

    /// Takes a figure; what is none says nothing.
    pub(super) fn take(&mut self, which: Metric, value: &Value<'_>) {
        let place = match which {
            Metric::CacheRead => &mut self.cache_read,
            Metric::CacheWrite => &mut self.cache_write,
            Metric::Input => &mut self.input,
            Metric::Output => &mut self.output,
        };
        *place = count(value).or(*place);
    }

    /// Replaces what is said anew.
    pub(super) fn merge(&mut self, later: Self) {
        self.input = later.input.or(self.input);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_write = later.cache_write.or(self.cache_write);
        self.output = later.output.or(self.output);
    }

    /// The parts, which never overlap. The lifetime of a write is not reported, so it counts as one of
    /// five minutes, which is what Bedrock does unless it is asked for more.
    pub(super) fn read(self) -> TokenUsage {
        TokenUsage::default()
            .with(Input, self.input)
            .with(CacheRead, self.cache_read)
            .with(CacheWrite5m, self.cache_write)
            .with(Output, self.output)
    }

    /// How they compare with what the model reports itself. What only one of them says is no
    /// contradiction, and the input may be meant with or without what the cache holds.
    pub(super) fn compare(self, usage: &TokenUsage) -> UsageTotal {
        if self == Self::default() || usage.is_unreported() {
            return UsageTotal::Absent;
        }
        let parts = [
            (self.cache_read, usage.sum_of(&[CacheRead])),
            (
                self.cache_write,
                usage.sum_of(&[CacheWrite5m, CacheWrite1h]),
            ),
            (self.output, usage.sum_of(&[Output, Thinking])),
        ];
        let cached = [CacheRead, CacheWrite5m, CacheWrite1h];
        let input = usage.sum_of(&[Input, ToolInput]);
        let with_cached = input.map(|input| input + usage.sum_of(&cached).unwrap_or(0));
        let agrees = [input, with_cached]
            .into_iter()
            .any(|input| is_same(self.input, input))
            && parts
                .into_iter()
                .all(|(ours, theirs)| is_same(ours, theirs));
        if agrees {
            UsageTotal::Agree
        } else {
            UsageTotal::Disagree
        }
    }
}

/// Whether two figures are the same, or one of them is missing.
fn is_same(one: Option<u64>, other: Option<u64>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_say_must_be_the_same() {
        let metrics = Metrics {
            input: Some(12),
            output: Some(20),
            ..Metrics::default()
        };
        let usage = TokenUsage::default()
            .with(Input, 12)
            .with(Output, 15)
            .with(Thinking, 5);
        assert_eq!(metrics.compare(&usage), UsageTotal::Agree);
        assert_eq!(metrics.compare(&metrics.read()), UsageTotal::Agree);
        assert_eq!(
            metrics.compare(&usage.with(Input, 2).with(CacheRead, 10)),
            UsageTotal::Agree,
            "the input may include what was cached"
        );
        assert_eq!(
            metrics.compare(&usage.with(Output, 16)),
            UsageTotal::Disagree
        );
        assert_eq!(
            metrics.compare(&usage.with(Input, 13)),
            UsageTotal::Disagree
        );
        assert_eq!(metrics.compare(&TokenUsage::default()), UsageTotal::Absent);
        assert_eq!(Metrics::default().compare(&usage), UsageTotal::Absent);
    }
}
