//! `usageMetadata` as Gemini and Cloud Code write it: cumulative counts, absent where zero.

use serde::{Deserialize, Serialize};

use super::tally::Tokens;

/// The counts of one frame. `promptTokenCount` includes the cached part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UsageMetadata {
    pub(super) prompt_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) cached_content_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) candidates_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) thoughts_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) tool_use_prompt_token_count: u64,
    pub(super) total_token_count: u64,
}

impl UsageMetadata {
    /// The same counts with the total that belongs to them.
    pub(super) fn with_total(self) -> Self {
        let total_token_count = self.prompt_token_count
            + self.candidates_token_count
            + self.thoughts_token_count
            + self.tool_use_prompt_token_count;
        Self {
            total_token_count,
            ..self
        }
    }

    /// Takes over the counts of a later frame. A zero there means "not reported", not "none".
    pub(super) fn merge(&mut self, later: Self) {
        let pairs = [
            (&mut self.prompt_token_count, later.prompt_token_count),
            (
                &mut self.cached_content_token_count,
                later.cached_content_token_count,
            ),
            (
                &mut self.candidates_token_count,
                later.candidates_token_count,
            ),
            (&mut self.thoughts_token_count, later.thoughts_token_count),
            (
                &mut self.tool_use_prompt_token_count,
                later.tool_use_prompt_token_count,
            ),
            (&mut self.total_token_count, later.total_token_count),
        ];
        for (ours, theirs) in pairs {
            if theirs != 0 {
                *ours = theirs;
            }
        }
    }
}

impl From<UsageMetadata> for Tokens {
    fn from(usage: UsageMetadata) -> Self {
        Self {
            input: usage
                .prompt_token_count
                .saturating_sub(usage.cached_content_token_count),
            cache_read: usage.cached_content_token_count,
            tool_input: usage.tool_use_prompt_token_count,
            output: usage.candidates_token_count,
            thinking: usage.thoughts_token_count,
            ..Self::default()
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_partitions_the_documented_shape() {
        let text = r#"{"promptTokenCount":17933,"cachedContentTokenCount":15942,"candidatesTokenCount":56,
                       "thoughtsTokenCount":42,"toolUsePromptTokenCount":7,"totalTokenCount":18038}"#;
        let usage: UsageMetadata = serde_json::from_str(text).unwrap();
        assert_eq!(usage, usage.with_total());
        let tokens = Tokens::from(usage);
        assert_eq!(
            tokens,
            Tokens {
                input: 1991,
                cache_read: 15942,
                tool_input: 7,
                output: 56,
                thinking: 42,
                ..Tokens::default()
            }
        );
        assert_eq!(tokens.total(), usage.total_token_count);
    }

    #[test]
    fn a_thinking_only_reply_names_no_candidates() {
        let usage = UsageMetadata {
            prompt_token_count: 10,
            thoughts_token_count: 2,
            ..UsageMetadata::default()
        }
        .with_total();
        let text = serde_json::to_string(&usage).unwrap();
        assert_eq!(
            text,
            r#"{"promptTokenCount":10,"thoughtsTokenCount":2,"totalTokenCount":12}"#
        );
    }

    #[test]
    fn a_later_frame_that_omits_a_count_keeps_it() {
        let mut usage = UsageMetadata {
            prompt_token_count: 9,
            cached_content_token_count: 4,
            ..UsageMetadata::default()
        };
        usage.merge(UsageMetadata {
            candidates_token_count: 3,
            ..UsageMetadata::default()
        });
        assert_eq!(
            (
                usage.prompt_token_count,
                usage.cached_content_token_count,
                usage.candidates_token_count
            ),
            (9, 4, 3)
        );
    }
}
