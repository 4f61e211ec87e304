//! One call as it is kept: figures and identifiers, nothing of its prompt and answer.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::sums::Sums;
use super::time::{after, time};
use crate::record::{
    Call, Caller, CorrelationMethod, Cost, CostSource, Id, Model, Operation, Outcome, Provider,
    Quality, RuleName, TokenUsage,
};

/// Identifies a call among those of all processes: when it began, in milliseconds since the Unix
/// epoch, and its number in the process that saw it. Written `1790000000123-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId {
    started_ms: i64,
    number: u64,
}

impl CallId {
    /// The id of the call of that number, which began then.
    #[must_use]
    pub fn new(started_at: Timestamp, number: u64) -> Self {
        Self {
            started_ms: started_at.as_millisecond(),
            number,
        }
    }

    pub(in crate::ledger) fn started_ms(self) -> i64 {
        self.started_ms
    }

    pub(in crate::ledger) fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.started_ms, self.number)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is no id of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id of a call is two numbers with '-' between them, such as 1790000000123-42")]
pub struct InvalidCallId;

impl FromStr for CallId {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, InvalidCallId> {
        let (started, number) = text.split_once('-').ok_or(InvalidCallId)?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(started) || !is_number(number) {
            return Err(InvalidCallId);
        }
        Ok(Self {
            started_ms: started.parse().map_err(|_| InvalidCallId)?,
            number: number.parse().map_err(|_| InvalidCallId)?,
        })
    }
}

/// A call of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallRecord {
    /// Its id, unique among the calls of all processes.
    pub id: CallId,
    /// Its number, unique in the process that saw it.
    pub number: u64,
    /// When its request began.
    pub started_at: Timestamp,
    /// First request byte to last response byte.
    pub duration_seconds: f64,
    /// First request byte to the first content-bearing event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_first_chunk_seconds: Option<f64>,
    /// Who answered.
    pub provider: Provider,
    /// What it was for.
    pub operation: Operation,
    /// The requested model.
    pub model: Model,
    /// The rules that changed its request, in the order in which they were applied. All else of the
    /// call is of what was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleName>,
    /// The model that the agent asked for, where a rule has put `model` in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_model: Option<Model>,
    /// The model that answered, when the provider names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_model: Option<Model>,
    /// The same, by the name under which it is shown, where it is another model than the one that
    /// was asked for.
    #[serde(skip)]
    pub(in crate::ledger) substituted_by: Option<Model>,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status of the response, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How far the tokens can be trusted.
    pub quality: Quality,
    /// Tokens by kind; `null` is "not reported", 0 is zero.
    pub tokens: TokenUsage,
    /// The sum of all kinds.
    pub total_tokens: u64,
    /// What the call cost: by the provider's own word, else at the list price of the day on which
    /// it began; `null` where no price is known, and where there are no tokens.
    #[serde(rename = "cost_usd")]
    pub cost: Option<Cost>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_source: Option<CostSource>,
    /// The identifier by which its conversation is known.
    pub method: CorrelationMethod,
    /// The trajectory that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Id>,
    /// The last execution that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<Id>,
    /// The last step that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Id>,
    /// The agent's own id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Id>,
    /// The subagent that made it; absent where the main agent did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagent: Option<Id>,
    /// The subagent that has started that one; absent where the main agent has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_subagent: Option<Id>,
    /// What kind of subagent it is, in the agent's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagent_kind: Option<Id>,
    /// Who made it.
    #[serde(flatten)]
    pub caller: Caller,
}

impl CallRecord {
    pub(in crate::ledger) fn ended_at(&self) -> Timestamp {
        after(
            self.started_at,
            Duration::try_from_secs_f64(self.duration_seconds).unwrap_or_default(),
        )
    }

    /// What it adds to the sums of its group.
    pub(in crate::ledger) fn sums(&self) -> Sums {
        Sums::of(&self.tokens, self.quality, self.outcome, self.cost)
    }
}

impl From<&Call> for CallRecord {
    /// Whether the call was answered by another model is not decided here, because names of models
    /// are bounded.
    fn from(call: &Call) -> Self {
        let (ids, rules) = (&call.ids, call.rules.as_ref());
        let started_at = time(call.timing.started_at);
        Self {
            id: CallId::new(started_at, call.number),
            number: call.number,
            started_at,
            duration_seconds: call.timing.duration.as_secs_f64(),
            time_to_first_chunk_seconds: call
                .timing
                .time_to_first_chunk
                .map(|first| first.as_secs_f64()),
            provider: call.provider,
            operation: call.operation,
            model: call.model.clone(),
            rules: rules.map(|rules| rules.names.clone()).unwrap_or_default(),
            asked_model: rules.and_then(|rules| rules.asked_model.clone()),
            served_model: call.served_model.clone(),
            substituted_by: None,
            outcome: call.outcome,
            status: call.status,
            quality: call.quality,
            tokens: call.usage,
            total_tokens: call.usage.total(),
            cost: call.cost,
            cost_source: call.cost.map(|_| call.cost_source()),
            method: call.correlation.method,
            trajectory: ids
                .trajectory
                .as_ref()
                .or(ids.labelled_trajectory.as_ref())
                .cloned(),
            execution: ids.execution.clone(),
            step: ids.step.clone(),
            request: ids.request.clone(),
            subagent: ids.subagent.clone(),
            parent_subagent: ids.parent_subagent.clone(),
            subagent_kind: ids.subagent_kind.clone(),
            caller: call.caller.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let at = Timestamp::from_millisecond(1_790_000_000_123).expect("a time");
        let id = CallId::new(at, 42);
        assert_eq!(id.to_string(), "1790000000123-42");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1-2",
            "1-2-3",
            "1-+2",
            "1- 2",
            "x-1",
            "99999999999999999999-1",
        ] {
            assert_eq!(text.parse::<CallId>(), Err(InvalidCallId), "{text}");
        }
    }
}
