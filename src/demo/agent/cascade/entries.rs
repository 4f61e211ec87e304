//! The entries of a trajectory: steps, calls to models, executors.

use jiff::Timestamp;

use super::names::{StepKind, StepStatus, Termination};
use super::state::Trajectory;
use crate::demo::models::{Card, card};
use crate::demo::usage::UsageMetadata;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo::agent) struct Step {
    pub(in crate::demo::agent) kind: StepKind,
    pub(in crate::demo::agent) status: StepStatus,
    pub(in crate::demo::agent) created: Timestamp,
    pub(in crate::demo::agent) completed: Option<Timestamp>,
    /// The text of the message, query or error.
    pub(in crate::demo::agent) text: String,
    pub(in crate::demo::agent) execution: String,
    /// The trajectory of the subagent that works in it, where it is reported inside of the step.
    pub(in crate::demo::agent) inside: Option<Box<Trajectory>>,
}

/// One call to a model with all of its attempts (`CortexStepGeneratorMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo::agent) struct Generation {
    pub(in crate::demo::agent) card: Card,
    /// `request.sessionId` of the request that was answered.
    pub(in crate::demo::agent) session: String,
    pub(in crate::demo::agent) execution: String,
    /// The step that it was for.
    pub(in crate::demo::agent) step: usize,
    pub(in crate::demo::agent) created: Timestamp,
    /// The model that answered, once one has.
    pub(in crate::demo::agent) answered_by: Option<String>,
    /// The final tokens.
    pub(in crate::demo::agent) usage: Option<Stats>,
    /// The last one is that of `usage`.
    pub(in crate::demo::agent) attempts: Vec<Attempt>,
}

/// `RetryInfo`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo::agent) struct Attempt {
    /// The provider's trace.
    pub(in crate::demo::agent) trace: String,
    /// Refused attempts have none.
    pub(in crate::demo::agent) usage: Option<Stats>,
}

/// `ModelUsageStats`: unlike on the wire, input excludes what was cached and output includes
/// thinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo::agent) struct Stats {
    pub(in crate::demo::agent) input: u64,
    pub(in crate::demo::agent) cache_read: u64,
    pub(in crate::demo::agent) output: u64,
    pub(in crate::demo::agent) thinking: u64,
    /// Tokens of tool results in the prompt: they are named by kind only, and are not part of
    /// `input`.
    pub(in crate::demo::agent) tool: u64,
    pub(in crate::demo::agent) response_id: String,
    pub(in crate::demo::agent) message_id: Option<String>,
}

/// `ExecutorMetadata`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo::agent) struct Executor {
    pub(in crate::demo::agent) reason: Termination,
    pub(in crate::demo::agent) invocations: usize,
    pub(in crate::demo::agent) last_step: usize,
    pub(in crate::demo::agent) execution: String,
}

impl Step {
    /// A step that has begun.
    pub(in crate::demo::agent) fn new(
        kind: StepKind,
        status: StepStatus,
        created: Timestamp,
        execution: &str,
    ) -> Self {
        Self {
            kind,
            status,
            created,
            completed: None,
            text: String::new(),
            execution: execution.to_owned(),
            inside: None,
        }
    }

    /// The same step with a text.
    pub(in crate::demo::agent) fn saying(self, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..self
        }
    }

    /// The same step, completed at its start.
    pub(in crate::demo::agent) fn at_once(self) -> Self {
        Self {
            completed: Some(self.created),
            ..self
        }
    }

    /// Ends the step.
    pub(in crate::demo::agent) fn end(&mut self, status: StepStatus, now: Timestamp) {
        self.status = status;
        self.completed = Some(now);
    }
}

impl Generation {
    /// A call that has not been answered yet.
    pub(in crate::demo::agent) fn new(
        model: &str,
        execution: &str,
        step: usize,
        created: Timestamp,
    ) -> Self {
        Self {
            card: card(model),
            session: String::new(),
            execution: execution.to_owned(),
            step,
            created,
            answered_by: None,
            usage: None,
            attempts: Vec::new(),
        }
    }

    /// Adds a refused attempt.
    pub(in crate::demo::agent) fn refused(&mut self, trace: String) {
        self.attempts.push(Attempt { trace, usage: None });
    }

    /// Adds the answered attempt; its usage is also that of the call.
    pub(in crate::demo::agent) fn answered(
        &mut self,
        model: &str,
        session: String,
        trace: String,
        stats: Stats,
    ) {
        self.session = session;
        self.answered_by = Some(model.to_owned());
        self.attempts.push(Attempt {
            trace,
            usage: Some(stats.clone()),
        });
        self.usage = Some(stats);
    }
}

impl Stats {
    /// The language server's form of the wire's counts. For Claude it knows another response id
    /// than the wire's, which then is the message's.
    pub(in crate::demo::agent) fn new(
        usage: UsageMetadata,
        model: &str,
        wire_id: &str,
        trace: &str,
    ) -> Self {
        let (response_id, message_id) = match model.starts_with("claude") {
            true => (format!("req_vrtx_{trace}"), Some(wire_id.to_owned())),
            false => (wire_id.to_owned(), None),
        };
        Self {
            input: usage
                .prompt_token_count
                .saturating_sub(usage.cached_content_token_count),
            cache_read: usage.cached_content_token_count,
            output: usage.candidates_token_count + usage.thoughts_token_count,
            thinking: usage.thoughts_token_count,
            tool: usage.tool_use_prompt_token_count,
            response_id,
            message_id,
        }
    }
}
