//! Calls that were answered, and their tokens.

/// A call to a model that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The model that was asked for.
    pub(crate) model: String,
    /// What for, as `/metrics` names it.
    pub(crate) operation: String,
    pub(crate) tokens: Tokens,
    /// What the answer says.
    pub(crate) text: String,
    /// The answer is a stream of events.
    pub(crate) is_stream: bool,
    /// How it ended, as `/metrics` names it.
    pub(crate) outcome: String,
    /// How far its figures can be trusted, as `/metrics` names it.
    pub(crate) quality: String,
    /// The subagent that has asked, by the client's own word.
    pub(crate) subagent: Option<String>,
}

impl Call {
    /// One that was answered whole.
    pub(super) fn answered(model: String, tokens: Tokens, text: String) -> Self {
        Self {
            model,
            operation: "chat".to_owned(),
            tokens,
            text,
            is_stream: true,
            outcome: "ok".to_owned(),
            quality: "exact".to_owned(),
            subagent: None,
        }
    }
}

/// Tokens by their kinds, which do not overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    pub(crate) tool_input: u64,
    pub(crate) output: u64,
    pub(crate) thinking: u64,
}

impl Tokens {
    /// The figures of the answer with this number. Each kind has a weight of its own, so that no
    /// kind can stand for another.
    pub(super) fn of_answer(number: u64) -> Self {
        Self {
            input: 100 + number,
            cache_read: 1_000 + 10 * number,
            cache_write: 40 + 2 * number,
            tool_input: 0,
            output: 2_000 + 100 * number,
            thinking: 30_000 + 1_000 * number,
        }
    }

    /// The parts by their names in `/metrics`.
    pub(crate) fn kinds(&self) -> [(&'static str, u64); 6] {
        [
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("tool_input", self.tool_input),
            ("output", self.output),
            ("thinking", self.thinking),
        ]
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, tokens)| tokens).sum()
    }

    /// What providers call output: thinking is a part of it.
    pub(crate) fn all_output(&self) -> u64 {
        self.output + self.thinking
    }

    /// What providers that include the cache call input.
    pub(crate) fn all_input(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }
}

impl std::iter::Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, next| Self {
            input: sum.input + next.input,
            cache_read: sum.cache_read + next.cache_read,
            cache_write: sum.cache_write + next.cache_write,
            tool_input: sum.tool_input + next.tool_input,
            output: sum.output + next.output,
            thinking: sum.thinking + next.thinking,
        })
    }
}
