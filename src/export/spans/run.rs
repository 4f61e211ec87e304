//! The span of a run, the agent at work on one message of its user, and those of its subagents.

use opentelemetry::KeyValue;
use opentelemetry::trace::Event;
use opentelemetry_sdk::trace::SpanData;

use super::{Attributes, FIRST_CHUNK, after, events, span_at, status};
use crate::export::genai::attribute;
use crate::record::{CascadeRun, Id, Label as _, RunOutcome, SubagentRun, TraceContext};

/// The span of a run whose place is known; calls made in it are its children by that place.
#[must_use]
pub fn of_run(run: &CascadeRun, place: &TraceContext) -> SpanData {
    span(run, run.agent.as_str(), None, place)
}

/// The span of a subagent's turn whose place is known: below that of the run or subagent that has
/// started it.
#[must_use]
pub fn of_subagent(ended: &SubagentRun, place: &TraceContext) -> SpanData {
    let SubagentRun {
        subagent,
        kind,
        run,
    } = ended;
    let name = kind.as_ref().map_or(run.agent.as_str(), Id::as_str);
    span(run, name, Some(subagent), place)
}

fn span(run: &CascadeRun, name: &str, subagent: Option<&Id>, place: &TraceContext) -> SpanData {
    let first = run.time_to_first_chunk.map(|waited| {
        let at = after(run.started_at, waited);
        Event::new(FIRST_CHUNK, at, Vec::new(), 0)
    });
    SpanData {
        name: format!("{INVOKE} {name}").into(),
        start_time: run.started_at,
        end_time: after(run.started_at, run.duration),
        attributes: attributes(run, name, subagent),
        events: events(first),
        status: status(error_type(run.outcome)),
        ..span_at(place)
    }
}

fn attributes(run: &CascadeRun, name: &str, subagent: Option<&Id>) -> Vec<KeyValue> {
    let mut known = Attributes::default();
    known
        .put(attribute::OPERATION_NAME, INVOKE)
        .put(attribute::AGENT_NAME, name)
        .put_known(attribute::AGENT_ID, subagent.map(Id::as_str))
        .put(attribute::CONVERSATION_ID, run.cascade.as_str())
        .put_known(attribute::REQUEST_MODEL, only_model(run))
        .put_known(attribute::ERROR_TYPE, error_type(run.outcome))
        .put(attribute::RUN_MODEL, run.model.as_str())
        .put(attribute::RUN_OUTCOME, run.outcome.as_str())
        .put(attribute::RUN_CALLS, run.calls)
        .put(attribute::RUN_TOKENS, run.tokens)
        .put_known(attribute::RUN_COST_USD, run.cost)
        .put_known(attribute::RUN_TIME_TO_FIRST_CHUNK, run.time_to_first_chunk);
    known.0
}

/// The model of a run that has used one alone: the convention gives an agent with several none.
fn only_model(run: &CascadeRun) -> Option<&str> {
    (!run.has_several_models).then(|| run.model.as_str())
}

/// The outcome's name; `None` for success.
fn error_type(outcome: RunOutcome) -> Option<&'static str> {
    (outcome != RunOutcome::Ok).then(|| outcome.as_str())
}

/// The convention's name for what an agent does from a message to its answer.
const INVOKE: &str = "invoke_agent";
