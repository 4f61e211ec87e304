//! The agent's own log: the ground truth of runs and calls.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::demo::tally::Tokens;

/// What happened, the oldest first. The last [`Log::LIMIT`] entries of each kind are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Runs that have ended.
    pub runs: VecDeque<RunEntry>,
    /// Calls to models that have ended.
    pub calls: VecDeque<CallEntry>,
    /// Older runs that are not kept.
    pub forgotten_runs: u64,
    /// Older calls that are not kept.
    pub forgotten_calls: u64,
}

/// One run: from a user's message until the agent and its subagents are idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEntry {
    /// The conversation.
    pub cascade: String,
    /// How it ended.
    pub outcome: RunEnd,
    /// The moment at which the status became running, in microseconds since the epoch.
    pub started_us: i64,
    /// The moment at which all had become idle, in microseconds since the epoch.
    pub ended_us: i64,
    /// Its LLM calls: refused, stopped, title and subagents' ones included, `countTokens` not.
    pub calls: u64,
    /// Their tokens.
    pub tokens: Tokens,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEnd {
    /// The user stopped it.
    Canceled,
    /// The agent gave up.
    Error,
    /// With a reply.
    Ok,
    /// The prompt was lost: idle at once, without a step of the model and without a call.
    Swallowed,
}

/// One exchange with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEntry {
    /// The provider's trace, when it named one.
    pub trace: Option<String>,
    /// The response's id on the wire, when there was a response.
    pub response: Option<String>,
    /// The conversation; for a subagent that of its user.
    pub cascade: String,
    /// The trajectory.
    pub trajectory: String,
    /// `requestId` as it was sent.
    pub request: String,
    /// The requested model.
    pub model: String,
    /// How it ended.
    pub outcome: CallEnd,
    /// What it cost.
    pub tokens: Tokens,
    /// The moment at which the agent had read it to its end, in microseconds since the epoch.
    pub ended_us: i64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallEnd {
    /// The agent left in the middle.
    Aborted,
    /// Answered to its end.
    Ok,
    /// Status 429.
    Refused,
}

impl Log {
    /// Entries kept of each kind: an agent that runs until SIGTERM must not grow. About 5 MB.
    pub const LIMIT: usize = 10_000;

    pub(in crate::demo::agent) fn run(&mut self, entry: RunEntry) {
        push(&mut self.runs, &mut self.forgotten_runs, entry);
    }

    pub(in crate::demo::agent) fn call(&mut self, entry: CallEntry) {
        push(&mut self.calls, &mut self.forgotten_calls, entry);
    }
}

fn push<T>(entries: &mut VecDeque<T>, forgotten: &mut u64, entry: T) {
    if entries.len() == Log::LIMIT {
        entries.pop_front();
        *forgotten += 1;
    }
    entries.push_back(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_is_counted() {
        let mut log = Log::default();
        for started_us in 0..=i64::try_from(Log::LIMIT).unwrap() {
            let (outcome, tokens) = (RunEnd::Ok, Tokens::default());
            log.run(RunEntry {
                cascade: String::new(),
                outcome,
                started_us,
                ended_us: 0,
                calls: 0,
                tokens,
            });
        }
        assert_eq!(
            (log.runs.len(), log.forgotten_runs, log.runs[0].started_us),
            (Log::LIMIT, 1, 1)
        );
    }
}
