//! Compares the agent's own token counts with those seen on the wire: each call that cost tokens is
//! looked for on both sides. A call whose tokens the wire knows only in part is not compared, and
//! not reported as missing on either side.
//!
//! Calls from the wire and generations from the agent enter as they come. A verdict leaves at once
//! when both sides are known, otherwise when the other side's time is up. Both queues are bounded;
//! an entry that is pushed out is judged as it stands.

use std::time::{Duration, Instant};

use super::update::{AgentUsage, Generation};
use super::waiting::WaitingQueue;
use crate::record::{Id, TokenKind, TokenUsage, UsageComparison};

/// A call as seen on the wire.
#[derive(Debug, Clone)]
pub struct WireCall {
    /// The provider's id of the response.
    pub response: Option<Id>,
    /// The provider's trace id.
    pub trace: Option<Id>,
    /// Its tokens. `None` where the wire does not know them all, as with an answer that was broken
    /// off: the agent may still have counted them, which is then no disagreement.
    pub usage: Option<TokenUsage>,
}

/// Calls of either side that wait for their counterpart, oldest first.
#[derive(Debug, Default)]
pub struct UsageReconciler {
    wire: WaitingQueue<WireCall, MAX_WAITING>,
    agent: WaitingQueue<Generation, MAX_WAITING>,
}

impl UsageReconciler {
    /// Adds a call from the wire and returns the verdict if there is one already.
    pub fn wire_call(&mut self, call: WireCall, now: Instant) -> Option<UsageComparison> {
        let same = self.agent.take_first(|known| is_same(&call, known));
        match same {
            Some(generation) => compare(&call, &generation),
            None => {
                let oldest = self.wire.push(call, now);
                oldest.and_then(|call| unanswered(&call))
            }
        }
    }

    /// Adds a call that the agent reports. One that is not `fresh` may be older than Gravimeter and
    /// is never reported as missing on the wire.
    pub fn agent_call(
        &mut self,
        generation: Generation,
        fresh: bool,
        now: Instant,
    ) -> Option<UsageComparison> {
        let same = self.wire.take_first(|call| is_same(call, &generation));
        match same {
            Some(call) => compare(&call, &generation),
            None if fresh => {
                let oldest = self.agent.push(generation, now);
                oldest.map(|_| UsageComparison::AgentOnly)
            }
            None => None,
        }
    }

    /// Returns the verdicts on entries that have waited long enough.
    pub fn tick(&mut self, now: Instant) -> Vec<UsageComparison> {
        let wire = self.wire.take_late(now, OTHER_SIDE_WITHIN);
        let wire = wire.filter_map(|call| unanswered(&call));
        let agent = self.agent.take_late(now, OTHER_SIDE_WITHIN);
        wire.chain(agent.map(|_| UsageComparison::AgentOnly))
            .collect()
    }
}

/// Whether both are the same call: by the provider's response id, whichever field the agent keeps
/// it in, or by the trace of the last attempt.
fn is_same(call: &WireCall, generation: &Generation) -> bool {
    let mut responses = generation.response.iter().chain(&generation.messages);
    let by_response = call
        .response
        .as_ref()
        .is_some_and(|response| responses.any(|id| id == response));
    let last_trace = generation.traces.last();
    by_response || (call.trace.is_some() && call.trace.as_ref() == last_trace)
}

/// The verdict on a call that the agent does not report. `None` where the wire does not know its
/// tokens: it may have cost none.
fn unanswered(call: &WireCall) -> Option<UsageComparison> {
    call.usage.map(|_| UsageComparison::WireOnly)
}

/// Compares the token counts. The wire counts the parts separately; the agent's output includes
/// thinking, and its input may include what tools added. `None` where the wire does not know all
/// counts: both sides have seen the call, and nothing more can be said.
fn compare(call: &WireCall, generation: &Generation) -> Option<UsageComparison> {
    let wire = call.usage?;
    let Some(agent) = generation.usage else {
        return Some(UsageComparison::WireOnly);
    };
    let wire = wire.counts();
    let input = wire[TokenKind::Input];
    let agrees = |AgentUsage {
                      input: theirs,
                      cache_read,
                      output,
                      ..
                  }: AgentUsage| {
        (theirs == input || theirs == input.saturating_add(wire[TokenKind::ToolInput]))
            && cache_read == wire[TokenKind::CacheRead]
            && output == wire.sum(TokenKind::OUTPUT)
    };
    Some(if agrees(agent) {
        UsageComparison::Agree
    } else {
        UsageComparison::Disagree
    })
}

/// How long a call waits for its counterpart. Streamed updates come in milliseconds, polled ones in
/// seconds; an agent that writes its counts only at checkpoints is slower.
const OTHER_SIDE_WITHIN: Duration = Duration::from_secs(60);

/// Most calls of one side that wait. About 300 bytes each: calls of a minute of an agent at full
/// speed.
const MAX_WAITING: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::from_wire(text).expect("an identifier")
    }

    fn call(response: &str, trace: &str) -> WireCall {
        let usage = TokenUsage::default()
            .with(TokenKind::Input, 1_991)
            .with(TokenKind::CacheRead, 15_942)
            .with(TokenKind::Output, 50)
            .with(TokenKind::Thinking, 6);
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
