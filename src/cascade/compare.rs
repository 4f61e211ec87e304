//! The agent's own books against the wire's: each call that cost tokens is looked for on both
//! sides. One of which the wire knows the tokens in part only is not compared, and not missed on
//! either side.
//!
//! Calls and generations enter as they come, judgements leave: at once when both sides are known,
//! otherwise when the other side has had its time. Bounded; what is pushed out is judged as it
//! stands.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::update::{AgentUsage, Generation};
use crate::record::{Id, TokenUsage, UsageComparison};

/// A call that the wire has seen.
#[derive(Debug, Clone)]
pub struct WireCall {
    /// The provider's id of the response.
    pub response: Option<Id>,
    /// The provider's trace.
    pub trace: Option<Id>,
    /// Its tokens. `None` where the wire does not know them all, as of an answer that was broken
    /// off: the agent may still have them in its books, which then say nothing wrong.
    pub usage: Option<TokenUsage>,
}

/// Both sides' calls that wait for their other side, oldest first.
#[derive(Debug, Default)]
pub struct UsageReconciler {
    wire: VecDeque<(Instant, WireCall)>,
    agent: VecDeque<(Instant, Generation)>,
}

impl UsageReconciler {
    /// The wire has seen a call.
    pub fn wire_call(&mut self, call: WireCall, now: Instant) -> Option<UsageComparison> {
        match self
            .agent
            .iter()
            .position(|(_, generation)| is_same(&call, generation))
        {
            Some(index) => self
                .agent
                .remove(index)
                .and_then(|(_, generation)| compare(&call, &generation)),
            None => {
                self.wire.push_back((now, call));
                let oldest = (self.wire.len() > MAX_WAITING)
                    .then(|| self.wire.pop_front())
                    .flatten();
                oldest.and_then(|(_, call)| unanswered(&call))
            }
        }
    }

    /// The agent remembers a call. One that is not `fresh` may be older than the house and is never
    /// missed on the wire.
    pub fn agent_call(
        &mut self,
        generation: Generation,
        fresh: bool,
        now: Instant,
    ) -> Option<UsageComparison> {
        match self
            .wire
            .iter()
            .position(|(_, call)| is_same(call, &generation))
        {
            Some(index) => self
                .wire
                .remove(index)
                .and_then(|(_, call)| compare(&call, &generation)),
            None if fresh => {
                self.agent.push_back((now, generation));
                (self.agent.len() > MAX_WAITING)
                    .then(|| self.agent.pop_front())
                    .map(|_| UsageComparison::AgentOnly)
            }
            None => None,
        }
    }

    /// Judges what has waited long enough.
    pub fn tick(&mut self, now: Instant) -> Vec<UsageComparison> {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= OTHER_SIDE_WITHIN;
        let mut judged = Vec::new();
        let late = self
            .wire
            .iter()
            .take_while(|(since, _)| is_late(*since))
            .count();
        judged.extend(
            self.wire
                .drain(..late)
                .filter_map(|(_, call)| unanswered(&call)),
        );
        while self.agent.front().is_some_and(|(since, _)| is_late(*since)) {
            self.agent.pop_front();
            judged.push(UsageComparison::AgentOnly);
        }
        judged
    }
}

/// Whether both are the same call: by the provider's id of the response, under whichever name the
/// agent keeps it, or by the trace of the last attempt.
fn is_same(call: &WireCall, generation: &Generation) -> bool {
    let mut responses = generation.response.iter().chain(&generation.messages);
    let by_response = call
        .response
        .as_ref()
        .is_some_and(|response| responses.any(|id| id == response));
    let last_trace = generation.traces.last();
    by_response || (call.trace.is_some() && call.trace.as_ref() == last_trace)
}

/// The agent does not know of a call. One of which the wire does not know the tokens may have cost
/// none.
fn unanswered(call: &WireCall) -> Option<UsageComparison> {
    call.usage.map(|_| UsageComparison::WireOnly)
}

/// The wire counts the parts apart; the agent's output includes thinking, and what tools added may
/// be in its input. `None` where the wire does not know all of them: both have seen the call, and
/// that is all there is to say.
fn compare(call: &WireCall, generation: &Generation) -> Option<UsageComparison> {
    let wire = call.usage?;
    let Some(agent) = generation.usage else {
        return Some(UsageComparison::WireOnly);
    };
    let of = |part: Option<u64>| part.unwrap_or(0);
    let input = of(wire.input);
    let agrees = |AgentUsage {
                      input: theirs,
                      cache_read,
                      output,
                      ..
                  }: AgentUsage| {
        (theirs == input || theirs == input.saturating_add(of(wire.tool_input)))
            && cache_read == of(wire.cache_read)
            && output == of(wire.output).saturating_add(of(wire.thinking))
    };
    Some(if agrees(agent) {
        UsageComparison::Agree
    } else {
        UsageComparison::Disagree
    })
}

/// Pushed news come in milliseconds, polled ones in seconds; an agent that writes its books only at
/// checkpoints is slower.
const OTHER_SIDE_WITHIN: Duration = Duration::from_secs(60);

/// About 300 bytes each: calls of a minute of an agent at full speed.
const MAX_WAITING: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::from_wire(text).expect("an identifier")
    }

    fn call(response: &str, trace: &str) -> WireCall {
        let usage = TokenUsage {
            input: Some(1_991),
            cache_read: Some(15_942),
            output: Some(50),
            thinking: Some(6),
            ..TokenUsage::default()
        };
        WireCall {
            response: Some(id(response)),
            trace: Some(id(trace)),
            usage: Some(usage),
        }
    }

    fn generation(response: &str, trace: &str, input: u64) -> Generation {
        let usage = AgentUsage {
            input,
            cache_read: 15_942,
            cache_write: 0,
            output: 56,
            thinking: 6,
        };
        Generation {
            usage: Some(usage),
            response: Some(id(response)),
            traces: vec![id("failed"), id(trace)],
            ..Generation::default()
        }
    }

    #[test]
    fn both_sides_are_joined_in_either_order() {
        let (mut reconciler, now) = (UsageReconciler::default(), Instant::now());
        assert_eq!(reconciler.wire_call(call("r", "x"), now), None);
        assert_eq!(
            reconciler.agent_call(generation("r", "other", 1_991), true, now),
            Some(UsageComparison::Agree)
        );
        assert_eq!(
            reconciler.agent_call(generation("q", "y", 1_990), true, now),
            None
        );
        assert_eq!(
            reconciler.wire_call(call("p", "y"), now),
            Some(UsageComparison::Disagree),
            "by the last trace"
        );
        let claude = Generation {
            messages: vec![id("msg")],
            ..generation("req", "z", 1_991)
        };
        assert_eq!(reconciler.agent_call(claude, true, now), None);
        assert_eq!(
            reconciler.wire_call(call("msg", "w"), now),
            Some(UsageComparison::Agree)
        );
        assert_eq!(
            reconciler.wire_call(call("n", "failed"), now),
            None,
            "an earlier attempt is another call"
        );
        assert_eq!(
            reconciler.tick(now + OTHER_SIDE_WITHIN),
            [UsageComparison::WireOnly]
        );
    }

    #[test]
    fn what_nobody_answers_is_judged_in_time() {
        let (mut reconciler, now) = (UsageReconciler::default(), Instant::now());
        reconciler.wire_call(call("a", "a"), now);
        reconciler.agent_call(generation("b", "b", 1), true, now + Duration::from_secs(1));
        assert_eq!(
            reconciler.agent_call(generation("history", "h", 1), false, now),
            None
        );
        assert_eq!(reconciler.tick(now + Duration::from_secs(59)), []);
        assert_eq!(
            reconciler.tick(now + Duration::from_secs(60)),
            [UsageComparison::WireOnly]
        );
        assert_eq!(
            reconciler.tick(now + Duration::from_secs(61)),
            [UsageComparison::AgentOnly]
        );
        assert_eq!(reconciler.tick(now + Duration::from_secs(3600)), []);
    }

    #[test]
    fn a_call_of_which_the_wire_knows_no_figures_is_missed_on_neither_side() {
        let (mut reconciler, now) = (UsageReconciler::default(), Instant::now());
        let seen = |name: &str| WireCall {
            usage: None,
            ..call(name, name)
        };
        assert_eq!(reconciler.wire_call(seen("a"), now), None);
        assert_eq!(
            reconciler.agent_call(generation("a", "a", 7), true, now),
            None
        );
        assert_eq!(
            reconciler.agent_call(generation("b", "b", 7), true, now),
            None
        );
        assert_eq!(reconciler.wire_call(seen("b"), now), None);
        reconciler.wire_call(seen("unknown"), now);
        assert_eq!(reconciler.tick(now + OTHER_SIDE_WITHIN), []);
        assert_eq!(
            reconciler.agent_call(generation("a", "a", 7), true, now),
            None
        );
        assert_eq!(
            reconciler.tick(now + OTHER_SIDE_WITHIN),
            [UsageComparison::AgentOnly],
            "told once"
        );
    }

    #[test]
    fn waiting_is_bounded() {
        let (mut reconciler, now) = (UsageReconciler::default(), Instant::now());
        let judged = (0..MAX_WAITING + 5)
            .filter_map(|n| reconciler.wire_call(call(&format!("r{n}"), &format!("x{n}")), now));
        assert_eq!(judged.collect::<Vec<_>>(), [UsageComparison::WireOnly; 5]);
    }
}
